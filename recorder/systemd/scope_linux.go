// Package systemd asks systemd for cgroups.
package systemd

import (
	"net"
	"time"

	"github.com/godbus/dbus/v5"
)

// unitProperty and auxiliaryUnit are arguments of StartTransientUnit.
type unitProperty struct {
	Name  string
	Value dbus.Variant
}

type auxiliaryUnit struct {
	Name       string
	Properties []unitProperty
}

// StartScope makes a transient scope of a process that runs already, as
// systemd-run --scope does. The bus is the path of a socket. When StartScope
// returns without error the job is queued; an answer that does not come within
// the patience is an error.
func StartScope(bus, name string, pid int, patience time.Duration) error {
	socket, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: bus, Net: "unix"})
	if err != nil {
		return err
	}
	defer socket.Close()
	if err := socket.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	conn, err := dbus.ConnectUnix(socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	properties := []unitProperty{
		{"Description", dbus.MakeVariant("Runs that sandtrail records")},
		{"PIDs", dbus.MakeVariant([]uint32{uint32(pid)})},
		{"Delegate", dbus.MakeVariant(true)},
		{"CollectMode", dbus.MakeVariant("inactive-or-failed")}, // nothing stays of it when we are gone
	}
	// A manager whose answer never comes ends with the deadline.
	return conn.Object("org.freedesktop.systemd1", "/org/freedesktop/systemd1").Call(
		"org.freedesktop.systemd1.Manager.StartTransientUnit", 0, name, "fail", properties, []auxiliaryUnit{}).Err
}
