package pty

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Open makes a pseudo-terminal: a program takes the slave for its terminal,
// the master is what a person would see and type. Reads and writes of the
// master obey deadlines; after the last slave is closed they fail with EIO.
func Open() (master, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a pseudo-terminal: %w", err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	if slave, err = openSlave(fd); err != nil {
		master.Close()
		return nil, nil, fmt.Errorf("make a pseudo-terminal: %w", err)
	}
	return master, slave, nil
}

func openSlave(master int) (*os.File, error) {
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return nil, err
	}
	n, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err != nil {
		return nil, err
	}
	name := "/dev/pts/" + strconv.Itoa(n)
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0) // blocking, as programs expect
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// SizeOf returns the size of the terminal that either end belongs to.
func SizeOf(end *os.File) (s Size, err error) {
	err = control(end, func(fd int) error {
		ws, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
		if err == nil {
			s = Size{int(ws.Col), int(ws.Row)}
		}
		return err
	})
	return s, err
}

// Resize sets the size and, if that changes it, sends SIGWINCH to the
// terminal's foreground.
func Resize(end *os.File, s Size) error {
	return control(end, func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(s.Cols), Row: uint16(s.Rows)})
	})
}

// CopyModes gives one terminal the modes of another: its special characters,
// its way to echo and to break lines.
func CopyModes(to, from *os.File) error {
	var modes *unix.Termios
	err := control(from, func(fd int) (err error) {
		modes, err = unix.IoctlGetTermios(fd, unix.TCGETS)
		return err
	})
	if err != nil {
		return err
	}
	return control(to, func(fd int) error { return unix.IoctlSetTermios(fd, unix.TCSETS, modes) })
}

// control calls do with the descriptor. File.Fd would make the file blocking,
// and so deaf to deadlines.
func control(f *os.File, do func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var done error
	if err := conn.Control(func(fd uintptr) { done = do(int(fd)) }); err != nil {
		return err
	}
	return done
}
