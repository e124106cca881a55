package mountfd

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mountinfo"
)

// Layers are the directories of an overlay (the kernel's
// Documentation/filesystems/overlayfs.rst): what it shows is Lower with the changes
// over it that are in Upper.
type Layers struct {
	Lower, Upper, Work dirfd.Dir
	// Alone: no other overlay may have the same Upper meanwhile, and none a Lower
	// that is another directory than the first one had. The kernel sees to that.
	Alone bool
}

var (
	// ErrLayersInUse says that another overlay has the same Upper or Work.
	ErrLayersInUse = errors.New("another overlay has these changes")
	// ErrOtherLower says that Upper was made over another directory.
	ErrOtherLower = errors.New("the changes were made over another directory")
	// ErrNoRoom says that the overlay could not be written to: the kernel makes a
	// directory in Work for each, and where it cannot, it makes the overlay read-only
	// and says so in its log alone.
	ErrNoRoom = fmt.Errorf("the kernel has no room for its directory in \"work\": %w", unix.ENOSPC)
)

// overlayMagic is OVERLAYFS_SUPER_MAGIC of linux/magic.h.
const overlayMagic = 0x794c7630

// OnOverlay reports whether a directory lies on an overlay, which cannot hold
// another one's changes.
func OnOverlay(d dirfd.Dir) (bool, error) {
	_, magic, err := d.MountFlags()
	return magic == overlayMagic, err
}

// HasHandles reports whether the directory's filesystem gives out file handles, by
// which an overlay remembers its layers (name_to_handle_at(2)).
func HasHandles(d dirfd.Dir) (bool, error) {
	_, _, err := unix.NameToHandleAt(d.FD(), "", unix.AT_EMPTY_PATH)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return false, nil
	}
	return err == nil, err
}

// OverlaySupported says why this kernel has no overlays; nil: it has.
func OverlaySupported() error {
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if errors.Is(err, unix.ENODEV) {
		return errors.New("this kernel has no overlay filesystem (the module overlay)")
	}
	if err != nil {
		return fmt.Errorf("fsopen overlay: %w", err)
	}
	return unix.Close(fs)
}

// layer is a directory of an overlay, as the kernel is told of it and as mountinfo
// names it afterwards.
type layer struct {
	key  string
	dir  dirfd.Dir
	name string
}

// Overlay is a detached overlay, with what mountinfo is to say of it.
type Overlay struct {
	Mount
	words []string
}

// NewOverlay makes one. The kernel gets descriptors of the layers, and resolves no
// name that anybody could change meanwhile.
func NewOverlay(label string, l Layers) (Overlay, error) {
	o, err := newOverlay(label, l, true)
	// before Linux 6.13; before 6.5, when it had the older interface, EOPNOTSUPP
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) {
		return newOverlay(label, l, false)
	}
	return o, err
}

func newOverlay(label string, l Layers, byFD bool) (Overlay, error) {
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return Overlay{}, fmt.Errorf("fsopen overlay: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetString(fs, "source", "polyinst"); err != nil {
		return Overlay{}, fmt.Errorf("overlay source: %w", err)
	}
	var words []string
	lower := "lowerdir+"
	if !byFD {
		lower = "lowerdir"
	}
	for _, x := range []layer{{key: lower, dir: l.Lower}, {key: "upperdir", dir: l.Upper}, {key: "workdir", dir: l.Work}} {
		if err := x.tell(fs, byFD); err != nil {
			return Overlay{}, err
		}
		words = append(words, x.key+"="+x.name)
	}
	// what the kernel was built with, or told to, is not asked. Without a redirection,
	// rename(2) of a directory of Lower fails. Data of a file is never looked for at
	// another place than the file's.
	options := []Option{{"redirect_dir", "on"}, {"metacopy", "off"}, {"nfs_export", "off"}, {"index", "off"}}
	if l.Alone {
		options[3].Value = "on"
	}
	for _, opt := range options {
		if err := unix.FsconfigSetString(fs, opt.Key, opt.Value); err != nil {
			return Overlay{}, fmt.Errorf("overlay option %s=%s: %w", opt.Key, opt.Value, err)
		}
	}
	switch err := unix.FsconfigCreate(fs); {
	case errors.Is(err, unix.EBUSY):
		return Overlay{}, ErrLayersInUse
	case errors.Is(err, unix.ESTALE):
		return Overlay{}, ErrOtherLower
	case dirfd.IsFull(err):
		return Overlay{}, ErrNoRoom
	case err != nil:
		return Overlay{}, fmt.Errorf("create overlay: %w", err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return Overlay{}, fmt.Errorf("fsmount overlay: %w", err)
	}
	root := dirfd.FromFD(fd, label)
	if flags, err := FlagsOf(root); err != nil || flags&ReadOnly != 0 {
		root.Close()
		if err == nil {
			err = ErrNoRoom
		}
		return Overlay{}, err
	}
	if l.Alone {
		words = append(words, "index=on")
	}
	return Overlay{Mount{root}, append(words, "redirect_dir=on")}, nil
}

// tell names the layer to the kernel, and notes by which name mountinfo has it.
func (x *layer) tell(fs int, byFD bool) error {
	path := fmt.Sprintf("/proc/self/fd/%d", x.dir.FD())
	if !byFD {
		x.name = path
		if err := unix.FsconfigSetString(fs, x.key, path); err != nil {
			return fmt.Errorf("overlay %s: %w", x.key, err)
		}
		return nil
	}
	if err := unix.FsconfigSetFd(fs, x.key, x.dir.FD()); err != nil {
		return fmt.Errorf("overlay %s: %w", x.key, err)
	}
	buf := make([]byte, 2*unix.PathMax)
	n, err := unix.Readlink(path, buf)
	x.name = string(buf[:max(n, 0)])
	return err
}

// Check says what is wrong with the mount that a directory lies on: it must be an
// overlay of exactly these layers.
func (o Overlay) Check(d dirfd.Dir) error {
	id, err := d.ReusedMountID()
	if err != nil {
		return err
	}
	line, found, err := mountinfo.Own(id)
	switch {
	case err != nil:
		return err
	case !found:
		return fmt.Errorf("mount %d is not in mountinfo", id)
	case line.FSType != "overlay":
		return fmt.Errorf("it is of type %s, not an overlay", line.FSType)
	}
	return o.compare(line.FSOptions(), isDefault)
}

// isDefault reports whether an option is on where the words do not speak of it: the
// kernel leaves out those that are as this machine has them for all overlays.
func isDefault(option string) bool {
	fd, err := unix.Open("/sys/module/overlay/parameters/"+option, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var on [1]byte
	n, err := unix.Read(fd, on[:])
	return n == 1 && err == nil && on[0] == 'Y'
}

// compare demands all of the words, and no other layer, nor what changes where the
// content of a file is looked for.
func (o Overlay) compare(have []string, isDefault func(option string) bool) error {
	seen, keys := map[string]bool{}, map[string]bool{}
	for _, word := range have {
		key, _, _ := strings.Cut(word, "=")
		seen[word], keys[key] = true, true
	}
	for _, want := range o.words {
		key, value, _ := strings.Cut(want, "=")
		if !seen[want] && (value != "on" || keys[key] || !isDefault(key)) {
			return fmt.Errorf("the overlay is without %q", want)
		}
		delete(seen, want)
	}
	if !keys["metacopy"] && isDefault("metacopy") {
		return fmt.Errorf("the overlay has %q", "metacopy")
	}
	for word := range seen {
		key, value, _ := strings.Cut(word, "=")
		switch {
		case strings.HasPrefix(key, "lowerdir"), strings.HasPrefix(key, "datadir"), key == "upperdir", key == "workdir",
			key == "userxattr", key == "metacopy" && value != "off", key == "redirect_dir", key == "index" && value != "off":
			return fmt.Errorf("the overlay has %q", word)
		}
	}
	return nil
}
