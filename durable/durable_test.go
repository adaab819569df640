//go:build unix

package durable_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/sandtrail/sandtrail/durable"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// only checks that a directory holds one file of that content, for its owner
// alone, and nothing aside.
func only(t *testing.T, dir, name, content string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	check(t, err)
	if len(entries) != 1 || entries[0].Name() != name {
		t.Fatalf("the folder holds %v, want %s alone", entries, name)
	}
	info, err := entries[0].Info()
	check(t, err)
	if info.Mode() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	got, err := os.ReadFile(filepath.Join(dir, name))
	check(t, err)
	if string(got) != content {
		t.Errorf("got %q, want %q", got, content)
	}
}

// planted are the things that a stranger puts where a file will be written.
// Each returns what must not change.
var planted = map[string]func(t *testing.T, path string) (stays string){
	"nothing": func(*testing.T, string) string { return "" },
	"a file": func(t *testing.T, path string) string {
		check(t, os.WriteFile(path, []byte("old and longer"), 0o600))
		return ""
	},
	"a link": func(t *testing.T, path string) string {
		victim := filepath.Join(t.TempDir(), "victim")
		check(t, os.WriteFile(victim, []byte("precious"), 0o600))
		check(t, os.Symlink(victim, path))
		return victim
	},
	"a hard link": func(t *testing.T, path string) string {
		victim := filepath.Join(t.TempDir(), "victim")
		check(t, os.WriteFile(victim, []byte("precious"), 0o600))
		check(t, os.Link(victim, path))
		return victim
	},
	"a pipe": func(t *testing.T, path string) string {
		check(t, syscall.Mkfifo(path, 0o666))
		return ""
	},
}

func TestWriteFileReplacesWhateverIsThere(t *testing.T) {
	for name, plant := range planted {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "file")
			stays := plant(t, path)
			check(t, durable.WriteFile(path, []byte("new")))
			only(t, dir, "file", "new")
			if stays != "" {
				if got, err := os.ReadFile(stays); err != nil || string(got) != "precious" {
					t.Errorf("what the link led to is now %q, %v", got, err)
				}
			}
		})
	}
}

func TestCreateTakesNoNameTwice(t *testing.T) {
	dir := t.TempDir()
	write := func(content string) error {
		f, err := durable.Begin(dir)
		check(t, err)
		_, err = f.WriteString(content)
		check(t, err)
		return f.Create("file")
	}
	check(t, write("first"))
	if err := write("second"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	only(t, dir, "file", "first")
}

func TestFileStaysInItsFolder(t *testing.T) {
	dir := t.TempDir()
	was, is := filepath.Join(dir, "was"), filepath.Join(dir, "is")
	check(t, os.Mkdir(was, 0o700))
	folder, err := durable.Open(was)
	check(t, err)
	defer folder.Close()
	check(t, os.Rename(was, is))
	check(t, os.Symlink(t.TempDir(), was))
	check(t, folder.WriteFile("file", []byte("x")))
	only(t, is, "file", "x")
}

func TestWhatIsExchangedAsideGetsNoName(t *testing.T) {
	dir := t.TempDir()
	f, err := durable.Begin(dir)
	check(t, err)
	check(t, os.Remove(f.Name()))
	check(t, os.WriteFile(f.Name(), []byte("forged"), 0o600))
	if err := f.Replace("file"); err == nil {
		t.Error("the other file was given the name")
	}
	if _, err := os.Lstat(filepath.Join(dir, "file")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestOpenRegularNeverWaits(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	check(t, os.WriteFile(path("file"), []byte("content"), 0o600))
	check(t, os.Symlink("file", path("link")))
	check(t, os.Symlink("loop", path("loop")))
	check(t, syscall.Mkfifo(path("pipe"), 0o600))
	check(t, os.Mkdir(path("directory"), 0o700))
	for _, name := range []string{"link", "loop", "pipe", "directory"} {
		for _, flags := range []int{os.O_RDONLY, os.O_RDWR} {
			if name == "directory" && flags == os.O_RDWR {
				continue
			}
			if f, err := durable.OpenRegular(path(name), flags); !errors.Is(err, durable.ErrNotRegular) {
				t.Errorf("%s: got %v, %v", name, f, err)
			}
		}
	}
	if _, err := durable.ReadFile(path("file"), 6); !errors.Is(err, durable.ErrTooLarge) {
		t.Errorf("7 bytes read as 6: %v", err)
	}
	if got, err := durable.ReadFile(path("file"), 7); err != nil || string(got) != "content" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestFoldersOfOthersAreRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	check(t, durable.MakePrivate(dir))
	for _, mode := range []fs.FileMode{0o720, 0o702, 0o777} {
		check(t, os.Chmod(dir, mode))
		if err := durable.MakePrivate(dir); !errors.Is(err, durable.ErrNotPrivate) {
			t.Errorf("mode %o: got %v", mode, err)
		}
	}
	check(t, os.Chmod(dir, 0o755))
	check(t, durable.MakePrivate(dir))
	if os.Geteuid() != 0 {
		return // only root can give a folder away
	}
	check(t, os.Chown(dir, 65534, -1))
	if err := durable.MakePrivate(dir); !errors.Is(err, durable.ErrNotPrivate) {
		t.Errorf("of another user: got %v", err)
	}
}

func TestDevicesAreNotReplaced(t *testing.T) {
	dir := t.TempDir()
	device := filepath.Join(dir, "null")
	if err := syscall.Mknod(device, syscall.S_IFCHR|0o666, 1<<8|3); err != nil {
		t.Skipf("only root makes devices: %v", err)
	}
	written := filepath.Join(dir, "written")
	check(t, os.WriteFile(written, nil, 0o600))
	for how, err := range map[string]error{"Rename": durable.Rename(written, device), "WriteFile": durable.WriteFile(device, nil)} {
		if !errors.Is(err, durable.ErrNotRegular) {
			t.Errorf("%s: got %v", how, err)
		}
	}
	if info, err := os.Lstat(device); err != nil || info.Mode()&fs.ModeDevice == 0 {
		t.Errorf("the device is now %v, %v", info, err)
	}
}
