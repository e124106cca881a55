package mntns

import (
	"fmt"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/dirfd"
)

// NetnsDir is where ip-netns(8) keeps network namespaces, each mounted on a file of
// its name.
const NetnsDir = "/run/netns"

// nsfsMagic is NSFS_MAGIC of linux/magic.h, the filesystem of namespaces.
const nsfsMagic = 0x6e736673

// NamedNet opens the network namespace that ip-netns(8) knows by a name. All is
// judged by handle: the directory and the way to it are root's, what stands there is
// a network namespace, it belongs to the user namespace that this process is in,
// and it is not that of process 1.
func NamedNet(name string) (NS, error) {
	way, err := dirfd.Walk(NetnsDir, nil)
	if err != nil {
		return NS{}, err
	}
	defer way.Close()
	if way.Missing {
		return NS{}, dirfd.NotExist(NetnsDir + "/" + name)
	}
	if err := dirfd.Trusted(way, way.Stat); err != nil {
		return NS{}, err
	}
	entry, err := way.Dir.Lookup(name)
	if err != nil {
		return NS{}, err
	}
	defer entry.Close()
	ns, err := netOf(entry)
	if err != nil {
		return NS{}, fmt.Errorf("%s: %w", entry.Path(), err)
	}
	return ns, nil
}

func netOf(entry dirfd.Dir) (NS, error) {
	// asked of a handle that opens nothing: to open a FIFO or a device has effects
	if _, magic, err := entry.MountFlags(); err != nil || magic != nsfsMagic {
		return NS{}, orElse(err, "is no namespace: look at it and move it away")
	}
	ns, err := open(fmt.Sprintf("/proc/self/fd/%d", entry.FD()), Net)
	if err != nil {
		return NS{}, err
	}
	if err := ns.isOurNet(); err != nil {
		ns.Close()
		return NS{}, err
	}
	return ns, nil
}

func (n NS) isOurNet() error {
	kind, err := unix.IoctlRetInt(n.fd, unix.NS_GET_NSTYPE)
	if err != nil || kind != unix.CLONE_NEWNET {
		return orElse(err, "is a namespace of another kind, want a network namespace")
	}
	if same, err := n.SameUserNamespace(); err != nil || !same {
		return orElse(err, "belongs to another user namespace: whoever made it has the rights of root over it")
	}
	// where that cannot be read, it is not known to be the same
	if hosts, err := readID("/proc/1/ns/net"); err == nil && hosts == n.ID {
		return fmt.Errorf("is the network of process 1, which is no other than the host's")
	}
	return nil
}

func orElse(err error, text string) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("%s", text)
}

// EnterOwn is Enter for a session's own namespace of a kind, and has seen that this
// process is in it.
func (n NS) EnterOwn() error {
	if err := n.Enter(); err != nil {
		return err
	}
	ids, err := OwnIDs(n.kind)
	for _, id := range ids {
		if err == nil && id != n.ID {
			err = fmt.Errorf("setns said that it entered the %s namespace [%d], and this is [%d]", n.kind, n.ID, id)
		}
	}
	return err
}
