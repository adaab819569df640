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
// is what exceeds the page cache before and after, and the unexplained usage
// before or after: a process that ends takes its pages out of memory.stat some
// time before it takes them out of the usage, so that one of the two may be high.
type gauge struct {
	stat, usage, mark *os.File

	names  map[string]int // the lines of memory.stat that count, and for what
	reset  string         // what sets the mark back when it is written; "": it is never set back
	looked bool           // there was a look
	last   sample         // of the last look
	marked int64          // the mark at the last look, bytes

	held int64 // the highest so far, bytes
	peak int64 // the group's own highest usage, page cache and all, bytes
}

// sample is the usage of a group at one moment in bytes: the sum of three parts.
type sample struct{ held, cache, unexplained int64 }

// What a line of memory.stat counts for.
const (
	isHeld = 1 + iota
	isCache
	isBoth // it is held, and part of a line that counts for the cache
)

// statV1 lacks the kernel's memory: cgroup v1 does not tell which of it serves
// the page cache.
var (
	statV1 = map[string]int{"total_rss": isHeld, "total_shmem": isBoth, "total_cache": isCache}
	statV2 = map[string]int{
		"anon": isHeld, "shmem": isBoth, "sock": isHeld, "kernel_stack": isHeld, "pagetables": isHeld,
		"sec_pagetables": isHeld, "percpu": isHeld, "vmalloc": isHeld, "slab_unreclaimable": isHeld,
		"file": isCache, "slab_reclaimable": isCache,
	}
)

// newGauge returns nil where the group has no memory controller.
func newGauge(g *group) *gauge {
	controller, current, mark := "", "memory.current", "memory.peak"
	m := &gauge{names: statV2, reset: "reset"}
	switch g.method {
	case CgroupHybrid, CgroupV1:
		controller, current, mark = "memory", "memory.usage_in_bytes", "memory.max_usage_in_bytes"
		m.names, m.reset = statV1, "0"
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
	now, ok2 := m.now()
	if !ok || !ok2 {
		return
	}
	if !m.looked {
		m.last.unexplained = now.unexplained
	}
	m.peak = max(m.peak, mark)
	m.held = max(m.held, now.held)
	if mark != m.marked { // it was reached since the last look
		m.held = max(m.held, mark-max(now.cache, m.last.cache)-min(now.unexplained, m.last.unexplained))
	}
	m.looked, m.last, m.marked = true, now, mark
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

// now reads both files at one moment: again if the usage changed meanwhile, as
// it does where the recorder had to wait for a core in between.
func (m *gauge) now() (s sample, ok bool) {
	const tries, tolerated = 4, 1 << 20
	for range tries {
		before, ok1 := number(m.usage)
		var ok2 bool
		s, ok2 = m.explained()
		usage, ok3 := number(m.usage)
		s.unexplained = max(usage-s.held-s.cache, 0)
		if ok = ok1 && ok2 && ok3; !ok || max(usage-before, before-usage) <= tolerated {
			break
		}
	}
	return s, ok
}

// explained reads memory.stat.
func (m *gauge) explained() (s sample, ok bool) {
	text, err := contents(m.stat)
	for line := range bytes.Lines(text) {
		name, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		kind := m.names[string(name)]
		n, _ := strconv.ParseInt(string(value), 10, 64)
		switch kind {
		case isHeld:
			s.held += n
		case isCache:
			s.cache += n
		case isBoth:
			s.held, s.cache = s.held+n, s.cache-n
		}
		ok = ok || kind != 0
	}
	s.cache = max(s.cache, 0) // the kernel's counts lag
	return s, ok && err == nil
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
