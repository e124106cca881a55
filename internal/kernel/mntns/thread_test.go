package mntns

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// lockAndDrop takes this thread's capabilities, and never gives it back.
func lockAndDrop(t *testing.T) {
	runtime.LockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		t.Error(err)
	}
}
