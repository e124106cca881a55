package wire

import (
	"bytes"
	"encoding/binary"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
)

// line is a worker's end of a line and the host's, and closes the latter.
func line(t *testing.T) (c Conn, host int, hangUp func()) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	hangUp = sync.OnceFunc(func() { _ = unix.Close(fds[1]) })
	t.Cleanup(func() { hangUp(); _ = unix.Close(fds[0]) })
	return New(fds[0]), fds[1], hangUp
}

// next is the next packet that the host gets, and how many descriptors came with it.
func next(t *testing.T, host int) (packet []byte, descriptors int) {
	t.Helper()
	buf, oob := make([]byte, 8192), make([]byte, 256)
	n, oobn, flags, _, err := unix.Recvmsg(host, buf, oob, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
	if err != nil || flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		t.Fatalf("%v, flags %#x", err, flags)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range fds {
			_ = unix.Close(fd)
			descriptors++
		}
	}
	return buf[:n], descriptors
}

// The host gets each message as docs/DESIGN.md lists them, in a packet of its own.
func TestMessages(t *testing.T) {
	c, host, _ := line(t)
	root, err := dirfd.Root()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	native := func(n uint32) string { return string(binary.NativeEndian.AppendUint32(nil, n)) }
	for _, m := range []struct {
		want        string
		descriptors int
		send        func()
	}{
		{"L\x04a line", 0, func() { c.Log(Warning, "a line") }},
		{"L\x01two?lines", 0, func() { c.Log(Alert, "two\nlines") }},
		{"Uread me?", 0, func() { c.Tell("read me\x07") }},
		{"D" + native(30000), 0, func() { c.Deadline(30000) }},
		{"E", 1, func() { c.Elsewhere(root) }},
		{"Xno Go", 0, func() { c.Why("no Go") }},
		{"M", 1, func() {
			if err := c.Mounted(root); err != nil {
				t.Error(err)
			}
		}},
		{"R-\x06\x03" + native(0) + "refused", 0, func() {
			if err := c.Report(Report{Action: Stay, Code: Refused, Priority: Err, Text: "refused"}); err != nil {
				t.Error(err)
			}
		}},
		{"RP\x00\x00" + native(0), 0, func() {
			if err := c.Report(Report{Action: RetryInPlace}); err != nil {
				t.Error(err)
			}
		}},
		{"U" + strings.Repeat("x", textMax) + " (cut)", 0, func() { c.Tell(strings.Repeat("x", 9000)) }},
	} {
		m.send()
		if got, n := next(t, host); string(got) != m.want || n != m.descriptors {
			t.Errorf("%q with %d descriptors, want %q with %d", got, n, m.want, m.descriptors)
		}
	}
}

// A worker goes on as if the host stood in the new view unless the host says, or shows,
// that it does not: what was made is undone then, under somebody who may be in it.
func TestReportIsAnswered(t *testing.T) {
	root, err := dirfd.Root()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	word := func(errno unix.Errno) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(errno)) }
	for _, action := range []Action{Join, JoinKeepBack, InPlace, StayHome} {
		for what, c := range map[string]struct {
			answer []byte
			want   string
		}{
			"it joined":        {word(0), ""},
			"it cannot":        {word(unix.EPERM), "the host cannot join: operation not permitted"},
			"it ended":         {nil, ""},
			"half of a number": {[]byte{1}, ""},
		} {
			conn, host, _ := line(t)
			if c.answer != nil {
				if _, err := unix.Write(host, c.answer); err != nil {
					t.Fatal(err)
				}
			} else if err := unix.Shutdown(host, unix.SHUT_WR); err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := conn.Report(Report{Action: action, NSTypes: mntns.Mount, Cwd: root}); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("%c, %s: %q, want %q", action, what, got, c.want)
			}
			packet, n := next(t, host)
			if want := append([]byte{'R', byte(action), 0, 0}, word(unix.Errno(mntns.Mount))...); !bytes.Equal(packet, want) || n != 1 {
				t.Errorf("%c: %q with %d descriptors, want %q with its directory", action, packet, n, want)
			}
		}
		conn, _, hangUp := line(t)
		hangUp()
		if err := conn.Report(Report{Action: action}); err == nil || !strings.HasPrefix(err.Error(), "the host does not listen: ") {
			t.Errorf("%c, to a host that has gone: %v", action, err)
		}
	}
	// gone with the report unread: it cannot have joined
	conn, host, hangUp := line(t)
	said := make(chan error)
	go func() { said <- conn.Report(Report{Action: Join}) }()
	wait := []unix.PollFd{{Fd: int32(host), Events: unix.POLLIN}}
	if _, err := unix.Poll(wait, -1); err != nil {
		t.Fatal(err)
	}
	hangUp()
	if err := <-said; err == nil || !strings.HasPrefix(err.Error(), "the host did not read the answer: ") {
		t.Errorf("a host that ends before it reads: %v", err)
	}
}

// A host that somebody has stopped does not hold up who has locks in hand.
func TestMountedDoesNotWait(t *testing.T) {
	conn, _, _ := line(t)
	root, err := dirfd.Root()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for range 1 << 16 {
		if err := conn.Mounted(root); err != nil {
			if !strings.HasPrefix(err.Error(), "the host does not listen: ") {
				t.Error(err)
			}
			return
		}
	}
	t.Error("the line takes messages without an end")
}
