// Command crosscheck checks the types of a module's packages, and of all that
// they import, as they are for other systems: crosscheck GOOS/GOARCH…
//
// It refuses what the compiler refuses, in a tenth of the time, because it
// makes no code. It does not link.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	for _, platform := range os.Args[1:] {
		if err := check(".", platform); err != nil {
			fmt.Fprintf(os.Stderr, "crosscheck: it does not build for %s: %v\n", platform, err)
			os.Exit(1)
		}
	}
}

// listed is a package as go list shows it.
type listed struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	ImportMap  map[string]string // of the packages that the standard library has copies of
	Standard   bool
	DepOnly    bool
	Module     *struct{ GoVersion string }
}

// check checks the packages of the module in a directory for a platform such
// as windows/amd64, without cgo.
func check(dir, platform string) error {
	goos, goarch, both := strings.Cut(platform, "/")
	sizes := types.SizesFor("gc", goarch)
	if !both || sizes == nil {
		return errors.New("not a platform such as windows/amd64")
	}
	list := exec.Command("go", "list", "-deps", "-json=ImportPath,Dir,GoFiles,ImportMap,Standard,DepOnly,Module", "./...")
	list.Dir = dir
	list.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0")
	var complaint bytes.Buffer
	list.Stderr = &complaint
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("go list: %w\n%s", err, &complaint)
	}
	known := packages{"unsafe": types.Unsafe}
	for dependenciesFirst := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dependenciesFirst.Decode(&p); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("go list: %w", err)
		}
		if err := known.add(p, sizes); err != nil {
			return err
		}
	}
}

// packages are those that were checked, by path.
type packages map[string]*types.Package

func (known packages) add(p listed, sizes types.Sizes) error {
	if known[p.ImportPath] != nil {
		return nil
	}
	positions := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(positions, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, file)
	}
	var all []error
	config := types.Config{
		Importer:         importer{known, p.ImportMap},
		Sizes:            sizes,
		IgnoreFuncBodies: p.Standard, // nothing of ours can break them
		Error:            func(err error) { all = append(all, err) },
	}
	if p.Module != nil && p.Module.GoVersion != "" {
		config.GoVersion = "go" + p.Module.GoVersion
	}
	checked, _ := config.Check(p.ImportPath, positions, files, nil) // its error is the first of all
	known[p.ImportPath] = checked
	if !p.DepOnly {
		all = append(all, withoutBody(positions, files)...)
	}
	return errors.Join(all...)
}

// withoutBody finds the functions that have none. Those of other modules are in
// assembly, of which the module has none itself.
func withoutBody(positions *token.FileSet, files []*ast.File) (errs []error) {
	for _, file := range files {
		for _, d := range file.Decls {
			if f, is := d.(*ast.FuncDecl); is && f.Body == nil {
				errs = append(errs, fmt.Errorf("%s: the function %s has no body", positions.Position(f.Pos()), f.Name.Name))
			}
		}
	}
	return errs
}

// importer finds the packages that one imports.
type importer struct {
	known  packages
	mapped map[string]string
}

func (i importer) Import(path string) (*types.Package, error) {
	if mapped, is := i.mapped[path]; is {
		path = mapped
	}
	if p := i.known[path]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("the package %s is not known", path)
}
