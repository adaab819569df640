package pgtest

import (
	"fmt"
	"syscall"
)

// Unprivileged says that servers of our own are started on Unix only.
func Unprivileged(string) (*syscall.SysProcAttr, error) {
	return nil, fmt.Errorf("no PostgreSQL server is started on Windows: set %s to a superuser's URL", Env)
}
