package dirfd

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"
)

// maxSymlinks is how many symbolic links one walk follows, the kernel's own
// number (path_resolution(7)).
const maxSymlinks = 40

type walker struct {
	all      *Walks
	stack    []stop   // the directories from the root to where we are
	todo     []string // components still to go
	view     View
	own      uint32 // whose mounts are entered
	file     bool   // no directory is looked for
	links    int
	exposure Exposure
	notYet   laid // where the walk ends with ErrNotYet
}

// laid says where in the view a stop lies.
type laid struct {
	in   Spot // the last spot on the way at which the view has a directory
	here bool // the stop is that directory
}

// stop is a directory on the walk, with what the kernel said of it when it was
// entered: the judgement is about that moment, and about the handle.
type stop struct {
	Dir
	stat Stat
	// voidOwners: what it says of owners and modes is void; a user mounted it
	voidOwners bool
	laid       laid
	on         *mounted // where that is known
}

// mounted is what is known of a mount on the way.
type mounted struct {
	Filesystem
	says Mount
}

// newWalker stands at the root directory.
func (a *Walks) newWalker(path string, view View) (*walker, error) {
	root, err := a.root()
	return &walker{all: a, stack: []stop{root}, view: view, own: NoUID, todo: components(path)}, err
}

func components(path string) []string {
	var out []string
	for c := range strings.SplitSeq(path, "/") {
		if c != "" && c != "." {
			out = append(out, c)
		}
	}
	return out
}

func (w *walker) close() {
	for i := range w.stack {
		w.stack[i].Close()
	}
}

func (w *walker) here() stop { return w.stack[len(w.stack)-1] }

func (w *walker) run() (Way, error) {
	for len(w.todo) > 0 {
		name := w.todo[0]
		w.todo = w.todo[1:]
		if name == ".." {
			w.up()
			continue
		}
		missing, err := w.step(name)
		if err != nil {
			return Way{}, err
		}
		if missing {
			parent, err := w.here().keep()
			return Way{Missing: true, Parent: parent, Name: name, Exposure: w.exposure, Laid: w.here().laid.in, on: w.here().on}, err
		}
	}
	return w.arrive()
}

func (w *walker) up() {
	if n := len(w.stack); n > 1 {
		w.stack[n-1].Close()
		w.stack = w.stack[:n-1]
	}
}

// arrive hands out the last two handles of the stack.
func (w *walker) arrive() (Way, error) {
	n := len(w.stack)
	if n < 2 {
		return Way{}, pathError("open", "/", errors.New("is the root directory"))
	}
	last := w.stack[n-1]
	way := Way{Dir: last.Dir, Stat: last.stat, Parent: w.stack[n-2].Dir, Exposure: w.exposure, Laid: last.laid.in, LaidLast: last.laid.here}
	way.Exposure.VoidOwners = last.voidOwners
	if way.on = last.on; way.on != nil {
		way.Mount = way.on.says
	}
	way.Name = way.Dir.path[strings.LastIndexByte(way.Dir.path, '/')+1:]
	w.stack = w.stack[:n-2]
	return way, nil
}

// step enters one component. missing: it is the last one and does not exist.
func (w *walker) step(name string) (missing bool, err error) {
	w.judge()
	next, err := w.enter(name)
	if next.crossed {
		w.judgeFilesystem(join(w.here().path, name), next.on.Filesystem)
	}
	if errors.Is(err, fs.ErrNotExist) && len(w.todo) == 0 {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	st := next.stat
	w.judgeOwner(st)
	switch {
	case st.IsSymlink():
		err = w.follow(next.Dir, st)
		next.Close()
		return false, err
	case !st.IsDir() && len(w.todo) > 0:
		next.Close()
		return false, notDirectory(next.path, st)
	}
	next.laid = laid{in: w.here().laid.in}
	if over, ok := w.view[st.Spot()]; ok {
		label := next.path
		next.Close()
		if !over.Dir.IsOpen() {
			w.notYet = laid{st.Spot(), len(w.todo) == 0}
			return false, pathError("open", label, ErrNotYet)
		}
		replaced := stop{laid: laid{st.Spot(), true}}
		if replaced.Dir, err = over.Dir.Dup(); err != nil {
			return false, err
		}
		replaced.path = label
		if over.Foreign != "" {
			w.foreign(label, over.Foreign)
		}
		if replaced.stat, err = replaced.Stat(); err != nil {
			replaced.Close()
			return false, err
		}
		next.stop = replaced
	}
	w.stack = append(w.stack, next.stop)
	return false, nil
}

// entered is the stop that a step leads to.
type entered struct {
	stop
	crossed bool // it lies on another mount than the directory above it
}

// enter opens an entry of the directory where we are, and asks what it is: the
// kernel first, by the handle, and its filesystem only if that is not a stranger's.
// With an error it has what that could still be told of.
func (w *walker) enter(name string) (next entered, err error) {
	here := w.here()
	path := join(here.path, name)
	if known, ok := w.all.recall(here, name, len(w.todo) == 0); ok {
		known.path = path
		return known, nil
	}
	var fd int
	if w.file && len(w.todo) == 0 {
		fd, err = here.open(name, unix.O_PATH, 0, 0)
	} else {
		fd, err = here.openEntry(name, 0)
	}
	if err != nil {
		return entered{}, pathError("open", path, err)
	}
	next.Dir = newDir(fd, path)
	var untold error
	if next.stat, untold = next.statHere(); untold == nil && next.stat.MountID == here.stat.MountID {
		next.voidOwners, next.on = here.voidOwners, w.mountHere()
	} else if next.on, err = w.all.mounted(next.Dir, next.stat); err == nil {
		next.crossed, next.voidOwners = true, next.on.ByUser
		err = next.on.enters(w.own, path)
	}
	if err == nil && (untold != nil || next.on == nil || !next.on.Kept) {
		next.stat, err = next.Stat()
	}
	if err != nil {
		next.Close()
		return next, err
	}
	if len(w.todo) > 0 && !w.exposure.Exposed() {
		next = w.all.remember(here, name, next)
	}
	return next, nil
}

// mountHere is what is known of the mount of the directory where we are; nil where
// it is not known. At the root it has not been asked yet.
func (w *walker) mountHere() *mounted {
	if len(w.stack) == 1 && w.stack[0].on == nil {
		w.stack[0].on = rootMount(w.stack[0].stat)
	}
	return w.here().on
}

// judgeFilesystem notes what lies behind a mount on the way. A user's own is as
// a directory of theirs, whatever it says.
func (w *walker) judgeFilesystem(path string, f Filesystem) {
	if f.Believed {
		return
	}
	w.foreign(path, f.Reason())
	if !f.ByUser {
		return
	}
	if w.exposure.Dir == "" {
		w.exposure.Dir, w.exposure.Reason = path, f.Reason()
	}
	w.exposure.Swaps = append(w.exposure.Swaps, Swap{path, f.Reason(), f.UID, false, false})
}

func (w *walker) foreign(path, reason string) {
	if w.exposure.Foreign == "" {
		w.exposure.Foreign, w.exposure.ForeignReason = path, reason
	}
}

// judge notes what others may do to the names in the directory where we are.
func (w *walker) judge() {
	if w.here().voidOwners {
		return
	}
	st := w.here().stat
	reason := ""
	switch {
	case st.UID != 0:
		reason = fmt.Sprintf("owned by uid %d", st.UID)
	case st.Mode&0o022 != 0: // group 0 is no exception
		reason = fmt.Sprintf("mode %04o", st.Mode)
	}
	if reason == "" {
		return
	}
	if w.exposure.Dir == "" {
		w.exposure.Dir, w.exposure.Reason = w.here().path, reason
	}
	others := st.Mode&0o022 != 0 && st.Mode&0o1000 == 0
	if st.UID != 0 || others {
		w.exposure.Swaps = append(w.exposure.Swaps, Swap{w.here().path, reason, st.UID, others, false})
	}
}

// judgeOwner notes that in a sticky directory an entry can be renamed by its own
// owner.
func (w *walker) judgeOwner(entry Stat) {
	here := w.here().stat
	if w.here().voidOwners {
		return
	}
	if entry.UID != 0 && here.Mode&0o022 != 0 && here.Mode&0o1000 != 0 {
		reason := fmt.Sprintf("mode %04o, and the entry is owned by uid %d", here.Mode, entry.UID)
		w.exposure.Swaps = append(w.exposure.Swaps, Swap{w.here().path, reason, entry.UID, false, true})
	}
}

func (w *walker) follow(link Dir, st Stat) error {
	if st.UID != 0 {
		return pathError("open", link.path, fmt.Errorf("is a symbolic link owned by uid %d: only root's are followed", st.UID))
	}
	if w.exposure.Exposed() {
		dir, reason := w.exposure.Where()
		return pathError("open", link.path, fmt.Errorf("is a symbolic link below %s (%s): none is followed there", dir, reason))
	}
	if w.links++; w.links > maxSymlinks {
		return pathError("open", link.path, unix.ELOOP)
	}
	target, err := link.readlink()
	if err != nil {
		return err
	}
	if strings.HasPrefix(target, "/") {
		for len(w.stack) > 1 {
			w.up()
		}
	}
	w.todo = append(components(target), w.todo...)
	return nil
}

func (d Dir) readlink() (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(d.FD(), "", buf)
	if err != nil {
		return "", pathError("readlink", d.path, err)
	}
	return string(buf[:n]), nil
}
