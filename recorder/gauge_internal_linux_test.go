package recorder

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// A cgroup v2 with the memory controller is not to be had everywhere: its files
// are read as the kernel writes them.
func TestGaugeOfCgroupV2(t *testing.T) {
	const mib = 1 << 20
	type look struct{ anon, shmem, pageTables, cache, reclaimable, peak, freeing int64 } // MiB
	tests := map[string]struct {
		looks []look
		held  int64
	}{
		"what is held":                    {[]look{{40, 20, 1, 0, 0, 61, 0}}, 61},
		"a file written":                  {[]look{{5, 0, 0, 100, 3, 108, 0}, {5, 0, 0, 300, 9, 314, 0}}, 5},
		"a file that is deleted":          {[]look{{5, 0, 0, 300, 9, 314, 0}, {5, 0, 0, 0, 0, 314, 0}}, 5},
		"a spike between two looks":       {[]look{{5, 0, 0, 100, 0, 105, 0}, {6, 0, 0, 100, 0, 190, 0}}, 90},
		"the peak of an earlier look":     {[]look{{90, 0, 0, 0, 0, 90, 0}, {1, 0, 0, 80, 0, 90, 0}}, 90},
		"a run that ended before a look":  {[]look{{0, 0, 0, 30, 1, 81, 0}}, 50},
		"huge pages that are being freed": {[]look{{60, 0, 0, 0, 0, 60, 0}, {90, 0, 0, 0, 0, 115, 14}, {0, 0, 0, 0, 0, 115, 0}}, 115},
		"dentries that a search has left": {[]look{{2, 0, 0, 0, 50, 53, 0}}, 3},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write := func(name, text string) {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range []string{"memory.stat", "memory.current", "memory.peak"} {
				write(name, "")
			}
			d, err := os.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			m := newGauge(&group{method: CgroupV2, v2: d})
			if m == nil {
				t.Fatal("there is no gauge")
			}
			defer m.close()
			m.reset = "" // as before Linux 6.12: plain files are not set back
			for _, l := range test.looks {
				write("memory.stat", fmt.Sprintf("anon %d\nfile %d\nkernel %d\nshmem %d\npagetables %d\nslab_reclaimable %d\nworkingset_refault_anon 7\n",
					l.anon*mib, (l.shmem+l.cache)*mib, (l.pageTables+l.reclaimable)*mib, l.shmem*mib, l.pageTables*mib, l.reclaimable*mib))
				write("memory.current", fmt.Sprintln((l.anon+l.shmem+l.pageTables+l.cache+l.reclaimable+l.freeing)*mib))
				write("memory.peak", fmt.Sprintln(l.peak*mib))
				m.look()
			}
			if m.held != test.held*mib {
				t.Errorf("held %d MiB, want %d", m.held/mib, test.held)
			}
			if want := test.looks[len(test.looks)-1].peak * mib; m.peak != want {
				t.Errorf("peak of %d MiB, want %d", m.peak/mib, want/mib)
			}
		})
	}
}
