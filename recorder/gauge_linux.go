package recorder

import (
	"bytes"
	"io"
	"os"
	"strconv"
)

// gauge follows the memory that the processes of a group hold: anonymous and
// shared memory, files of a tmpfs among it, and the kernel's memory for them
// where the kernel tells it apart. The page cache of other files, which is
// charged to the group as well, stays out.
//
// Between two looks the kernel keeps the highest usage. Of that, the part held
// is what exceeds the page cache and the like before and after.
type gauge struct {
	stat, usage, mark *os.File

	names  map[string]bool // the lines of memory.stat that are held
	reset  string          // what sets the mark back when it is written; "": it is never set back
	rest   int64           // usage that was not held at the last look, bytes
	marked int64           // the mark at the last look, bytes

	held int64 // the highest so far, bytes
	peak int64 // the group's own highest usage, page cache and all, bytes
}

// heldV1 lacks the kernel's memory: cgroup v1 does not tell which of it serves
// the page cache.
var (
	heldV1 = map[string]bool{"total_rss": true, "total_shmem": true}
	heldV2 = map[string]bool{
		"anon": true, "shmem": true, "sock": true, "kernel_stack": true, "pagetables": true,
		"sec_pagetables": true, "percpu": true, "vmalloc": true, "slab_unreclaimable": true,
	}
)

// newGauge returns nil where the group has no memory controller.
func newGauge(g *group) *gauge {
	controller, current, mark := "", "memory.current", "memory.peak"
	m := &gauge{names: heldV2, reset: "reset"}
	switch g.method {
	case CgroupHybrid, CgroupV1:
		controller, current, mark = "memory", "memory.usage_in_bytes", "memory.max_usage_in_bytes"
		m.names, m.reset = heldV1, "0"
	case CgroupSampling, Sampling:
		return nil
	}
	var err error
	for file, name := range map[**os.File]string{&m.stat: "memory.stat", &m.usage: current} {
		if *file, err = os.Open(g.path(controller, name)); err != nil {
			m.close()
			return nil
		}
	}
	// Since Linux 6.12 the mark of cgroup v2 can be set back, for one opening.
	path := g.path(controller, mark)
	if m.mark, err = os.OpenFile(path, os.O_RDWR, 0); err != nil {
		m.reset = ""
		if m.mark, err = os.Open(path); err != nil {
			m.close()
			return nil
		}
	}
	return m
}

func (m *gauge) close() {
	if m == nil {
		return
	}
	for _, file := range []*os.File{m.stat, m.usage, m.mark} {
		if file != nil {
			file.Close()
		}
	}
}

// look takes a sample.
func (m *gauge) look() {
	if m == nil {
		return
	}
	// The mark comes first: page cache that comes meanwhile is in the rest, not
	// in the mark.
	mark, ok := number(m.mark)
	if m.reset != "" {
		if _, err := m.mark.WriteAt([]byte(m.reset), 0); err != nil {
			m.reset = ""
		}
	}
	held, usage, ok2 := m.now()
	if !ok || !ok2 {
		return
	}
	rest := max(usage-held, 0)
	m.peak = max(m.peak, mark)
	m.held = max(m.held, held)
	if mark != m.marked { // it was reached since the last look
		m.held = max(m.held, mark-max(rest, m.rest))
	}
	m.rest, m.marked = rest, mark
	if m.reset != "" {
		m.marked = 0
	}
}

// filled takes into account that a process was killed for the limit on memory. The
// kernel kills only after it has taken back all page cache that it could: the group
// held all that it was charged with, and no look was needed at that moment.
func (m *gauge) filled(limit int64) {
	const batch = 1 << 20 // what the kernel charges at once, on all cores
	if limit > 0 && m.peak >= limit-batch {
		m.held = max(m.held, m.peak)
	}
}

// now reads both figures of one moment: again if the usage changed meanwhile, as
// it does where the recorder had to wait for a core in between.
func (m *gauge) now() (held, usage int64, ok bool) {
	const tries, tolerated = 4, 1 << 20
	for range tries {
		before, ok1 := number(m.usage)
		var ok2, ok3 bool
		held, ok2 = m.heldNow()
		usage, ok3 = number(m.usage)
		if ok = ok1 && ok2 && ok3; !ok || max(usage-before, before-usage) <= tolerated {
			break
		}
	}
	return held, usage, ok
}

func (m *gauge) heldNow() (held int64, ok bool) {
	text, err := contents(m.stat)
	for line := range bytes.Lines(text) {
		name, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		if !m.names[string(name)] {
			continue
		}
		n, _ := strconv.ParseInt(string(value), 10, 64)
		held, ok = held+n, true
	}
	return held, ok && err == nil
}

func number(f *os.File) (n int64, ok bool) {
	text, err := contents(f)
	if err != nil {
		return 0, false
	}
	n, err = strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64)
	return n, err == nil
}

// contents reads a file of a cgroup anew.
func contents(f *os.File) ([]byte, error) {
	return io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
}
