package mntns

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// One namespace is told from all others by what is never used again, and where there is no
// such thing something else must agree (I-11).
func TestSame(t *testing.T) {
	new := Identity{NS: 7, Root: 70, Unique: true, Ever: 700}
	for what, c := range map[string]struct {
		a, b       Identity
		same, sure bool
	}{
		"itself":                           {new, new, true, true},
		"another number":                   {new, Identity{NS: 8, Root: 70, Unique: true, Ever: 700}, false, true},
		"another id":                       {new, Identity{NS: 7, Root: 70, Unique: true, Ever: 701}, false, true},
		"another root, and one id":         {new, Identity{NS: 7, Root: 71, Unique: true, Ever: 700}, true, true},
		"who is not told the id":           {new, Identity{NS: 7, Root: 70, Unique: true}, true, true},
		"who is not told it, another root": {new, Identity{NS: 7, Root: 71, Unique: true}, false, true},
		"before Linux 6.8":                 {Identity{NS: 7, Root: 70}, Identity{NS: 7, Root: 70}, true, false},
		"before it, another root":          {Identity{NS: 7, Root: 70}, Identity{NS: 7, Root: 71}, false, false},
		"of an older and a newer kernel":   {new, Identity{NS: 7, Root: 70}, false, true},
	} {
		if same, sure := c.a.Same(c.b); same != c.same || sure != c.sure {
			t.Errorf("%s: same %v, sure %v, want %v, %v", what, same, sure, c.same, c.sure)
		}
	}
}

func TestBelow(t *testing.T) {
	for _, c := range []struct {
		dir, path, rest string
		ok              bool
	}{{"/", "/a", "/a", true}, {"/a", "/a", "", true}, {"/a", "/a/b", "/b", true}, {"/a", "/ab", "b", false}, {"/a", "/b", "/b", false}, {"/", "/", "/", true}} {
		if rest, ok := below(c.dir, c.path); ok != c.ok || ok && rest != c.rest {
			t.Errorf("%s below %s: %q, %v", c.path, c.dir, rest, ok)
		}
	}
	for at, want := range map[string]string{"/": "/x", "/i": "/i/x"} {
		if got := (Location{7, at}).Below("x"); got != (Location{7, want}) {
			t.Errorf("%s: %+v", at, got)
		}
	}
}

// The kinds are in the order in which they are entered, and a failure says what to look at.
func TestKinds(t *testing.T) {
	if got, want := (Mount | Net | UTS | IPC).String(), "IPC, UTS, network, mount"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := (IDs{"net": 1, "mnt": 2, "cgroup": 3}).Kinds(); got != Net|Mount {
		t.Errorf("%v", got)
	}
	for errno, want := range map[unix.Errno]string{unix.EPERM: "CAP_SYS_ADMIN", unix.ENOSPC: "sysctl user.max_mnt_namespaces", unix.EUSERS: "sysctl user.max_mnt_namespaces",
		unix.ENOMEM: "no memory", unix.EINVAL: "built without", unix.EIO: "new namespaces (IPC, mount): input/output error"} {
		if err := unshareError(Mount|IPC, errno); !errors.Is(err, errno) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// What a host may do is read off the bits of its capabilities (capabilities(7)).
func TestCapabilitiesOf(t *testing.T) {
	for bit, want := range map[uint]Capabilities{unix.CAP_SYS_ADMIN: {SysAdmin: true}, unix.CAP_SYS_CHROOT: {SysChroot: true}, unix.CAP_SYS_PTRACE: {SysPtrace: true},
		unix.CAP_SYS_RESOURCE: {SysResource: true}, unix.CAP_KILL: {}} {
		if got := CapabilitiesOf(1 << bit); got != want {
			t.Errorf("capability %d: %+v, want %+v", bit, got, want)
		}
	}
}
