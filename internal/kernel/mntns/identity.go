package mntns

import (
	"errors"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mountinfo"
)

// Identity tells one mount namespace from all others, those that have ended
// included, as far as the kernel can tell them apart. Its fields are also those
// of a record, under the same names.
type Identity struct {
	NS     ID     // the number in the link, which is used again
	Root   uint64 // mount id of its root
	Unique bool   // Root is never used again (Linux 6.8)
	// Ever is the namespace's own id, which is never used again; 0 where the
	// kernel (before 6.11) or a security module does not tell it.
	Ever uint64 `json:",omitempty"`
}

// Identify is the identity of the mount namespace that this process is in; id is
// its number, as OwnID or a descriptor tells it, and root its root directory. Nothing
// of nsfs is opened: SELinux lets no login program do that.
func Identify(id ID, root dirfd.Stat) Identity {
	i := Identity{NS: id, Root: root.MountID, Unique: root.MountUnique}
	if i.Unique {
		i.Ever = namespaceOf(root.MountID)
	}
	return i
}

// OwnIdentity is the identity of the mount namespace that this process is in, for a
// process whose root directory is the namespace's.
func OwnIdentity() (Identity, error) {
	root, err := dirfd.RootStat()
	if err != nil {
		return Identity{}, err
	}
	id, err := OwnID()
	return Identify(id, root), err
}

// Same reports whether two identities are of one namespace. sure is false where
// all that they have in common is used again: then something else must agree.
func (i Identity) Same(other Identity) (same, sure bool) {
	switch {
	case i.NS != other.NS:
		return false, true
	case i.Ever != 0 && other.Ever != 0:
		return i.Ever == other.Ever, true
	}
	return i.Root == other.Root && i.Unique == other.Unique, i.Unique
}

// namespaceOf is the id of the namespace that a mount of this process's own is
// in, 0 where that cannot be told.
func namespaceOf(mount uint64) uint64 {
	var a mountinfo.Answer
	if err := a.Ask(0, mount, mountinfo.Namespace); err != nil || !a.Has(mountinfo.Namespace) {
		return 0
	}
	return a.Namespace()
}

// Life is what is known of a namespace that was there once.
type Life int

// The values of Life.
const (
	Unknown Life = iota
	Alive
	Ended
)

// Lives asks the kernel, in one call, whether the namespace with this id (Ever) is
// still there. That it has ended is believed only where this process has
// CAP_SYS_ADMIN: without, the kernel denies all namespaces (listmount(2), 6.11).
func Lives(ever uint64) Life {
	if ever == 0 {
		return Unknown
	}
	var one [1]uint64
	_, err := mountinfo.List(ever, 0, one[:])
	switch {
	case err == nil:
		return Alive
	case errors.Is(err, unix.ENOENT) && mayAsk():
		return Ended
	}
	return Unknown
}

// mayAsk reports whether this process may ask about every namespace of its user
// namespace: it has the capability, and the kernel knows its own by its id.
func mayAsk() bool {
	caps, err := OwnCapabilities()
	if err != nil || !caps.SysAdmin {
		return false
	}
	st, err := dirfd.RootStat()
	if err != nil || !st.MountUnique {
		return false
	}
	return namespaceOf(st.MountID) != 0
}
