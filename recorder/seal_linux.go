package recorder

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Seal takes from this process what the commands that it starts could use
// against it. It is for a program that does nothing but record, before it reads
// anything that a command may have planted:
//
//   - its own variables (see Environment) and arguments that hold a secret are blanked
//     out where /proc/PID/environ and cmdline show them; os.Getenv still has
//     them, the texts of os.Args must have been copied;
//   - no process of the same user may trace it or read its memory;
//   - descriptors from 3 on are not inherited, but for those that pass names.
//
// What cannot be done here is in the error; the rest is done nevertheless.
func Seal(secrets []string, pass []int) error {
	// While this process can be traced it may write its own memory.
	err := blankOut(secrets)
	if e := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); e != nil {
		err = errors.Join(err, fmt.Errorf("keep others from tracing the recorder: %w", e))
	}
	return errors.Join(err, keepDescriptors(pass))
}

// blankOut overwrites secrets where the kernel shows what this process was
// started with.
func blankOut(secrets []string) error {
	raw, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return nil // where there is no /proc it shows nothing
	}
	// arg_start is the 48th field; the second, a name in parentheses, may hold
	// spaces.
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	const argStart, envStart = 48 - 3, 50 - 3
	if len(fields) < envStart+2 {
		return errors.New("hide secrets of the recorder: /proc/self/stat is not understood")
	}
	mem, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("hide secrets of the recorder: %w", err)
	}
	defer mem.Close()
	isSecret := func(text string) bool {
		return slices.ContainsFunc(secrets, func(secret string) bool { return strings.Contains(text, secret) })
	}
	return errors.Join(
		overwrite(mem, fields[argStart], fields[argStart+1], isSecret),
		overwrite(mem, fields[envStart], fields[envStart+1], isOwn))
}

// overwrite blanks out those of the texts between two addresses, each behind a
// NUL, that are secret.
func overwrite(mem *os.File, from, to string, isSecret func(string) bool) error {
	begin, err1 := strconv.ParseInt(from, 10, 64)
	end, err2 := strconv.ParseInt(to, 10, 64)
	if err := errors.Join(err1, err2); err != nil || end <= begin {
		return err // there are none
	}
	block := make([]byte, end-begin)
	if _, err := mem.ReadAt(block, begin); err != nil {
		return fmt.Errorf("hide secrets of the recorder: %w", err)
	}
	at := 0
	for _, text := range strings.SplitAfter(string(block), "\x00") {
		if content := strings.TrimSuffix(text, "\x00"); content != "" && isSecret(content) {
			copy(block[at:], strings.Repeat("*", len(content)))
		}
		at += len(text)
	}
	if _, err := mem.WriteAt(block, begin); err != nil {
		return fmt.Errorf("hide secrets of the recorder: %w", err)
	}
	return nil
}

// keepDescriptors has no descriptor above standard error inherited, but for
// those named.
func keepDescriptors(pass []int) error {
	if err := unix.CloseRange(3, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		closeEach() // before Linux 5.11
	}
	for _, fd := range pass {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return fmt.Errorf("descriptor %d is not open", fd)
		}
	}
	return nil
}

func closeEach() {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, entry := range entries {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
}
