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

// Exposure tells how far the names on a walk can be influenced by others than
// root.
type Exposure struct {
	Dir    string // the first directory on the way in which somebody else can create names; empty: none
	Reason string // "owned by uid 1001", "mode 1777"
	// Swaps are the directories on the way whose entries somebody else can
	// also rename or replace.
	Swaps []Swap
}

// Swap is a directory whose entries somebody but root can rename or replace:
// not root's, or writable without the sticky bit.
type Swap struct {
	Dir    string
	Reason string
	UID    uint32 // the owner
	Others bool   // group or others can, not the owner alone
}

// Exposed tells whether somebody but root can create names on the way.
func (e Exposure) Exposed() bool { return e.Dir != "" }

// Way is the result of a walk.
type Way struct {
	Dir      Dir  // what was found; not open if Missing
	Stat     Stat // of Dir
	Missing  bool // only the last component does not exist
	Parent   Dir  // the directory that holds, or would hold, the last component
	Name     string
	Exposure Exposure
}

// Close releases the handles of a walk.
func (w *Way) Close() {
	w.Dir.Close()
	w.Parent.Close()
}

// View lays directories over others for a walk, as mounts would: whoever
// arrives at a directory with the ID goes on in its replacement.
type View map[ID]Dir

// Walk goes to an absolute path and judges every component by its handle: the
// names in a directory that somebody but root can write may be anything, so
// that from there on no symbolic link is followed; before, only root's are, and
// each component of a target is judged like any other (path_resolution(7) for
// the rules of ".." and links).
//
// The last component may be missing, if its directory exists. With an error the
// Way has its Exposure alone: what others could do to the names up to there.
func Walk(path string, view View) (Way, error) {
	if !strings.HasPrefix(path, "/") {
		return Way{}, pathError("open", path, errors.New("not an absolute path"))
	}
	w, err := newWalker(path, view)
	if err != nil {
		return Way{}, err
	}
	defer w.close()
	way, err := w.run()
	if err == nil && !way.Missing && !way.Stat.IsDir() {
		err = notDirectory(way.Dir.path, way.Stat)
		way.Close()
	}
	if err != nil {
		return Way{Exposure: w.exposure}, err
	}
	return way, nil
}

// WalkFile is Walk to something that need not be a directory.
func WalkFile(path string) (Way, error) {
	w, err := newWalker(path, nil)
	if err != nil {
		return Way{}, err
	}
	defer w.close()
	return w.run()
}

func notDirectory(path string, st Stat) error {
	return pathError("open", path, fmt.Errorf("is a %s, not a directory: look at it and move it away", st.TypeName()))
}

type walker struct {
	stack    []place  // the directories from the root to where we are
	todo     []string // components still to go
	view     View
	links    int
	exposure Exposure
}

// place is a directory on the walk, with what the kernel said of it when it was
// entered: the judgement is about that moment, and about the handle.
type place struct {
	Dir
	stat Stat
}

// newWalker stands at the root directory.
func newWalker(path string, view View) (*walker, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	st, err := root.Stat()
	if err != nil {
		root.Close()
		return nil, err
	}
	return &walker{stack: []place{{root, st}}, view: view, todo: components(path)}, nil
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

func (w *walker) here() place { return w.stack[len(w.stack)-1] }

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
			parent, err := w.here().Dup()
			return Way{Missing: true, Parent: parent, Name: name, Exposure: w.exposure}, err
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
	way := Way{Dir: w.stack[n-1].Dir, Stat: w.stack[n-1].stat, Parent: w.stack[n-2].Dir, Exposure: w.exposure}
	way.Name = way.Dir.path[strings.LastIndexByte(way.Dir.path, '/')+1:]
	w.stack = w.stack[:n-2]
	return way, nil
}

// step enters one component. missing: it is the last one and does not exist.
func (w *walker) step(name string) (missing bool, err error) {
	w.judge()
	next, err := w.here().Lookup(name)
	if errors.Is(err, fs.ErrNotExist) && len(w.todo) == 0 {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	st, err := next.Stat()
	if err != nil {
		next.Close()
		return false, err
	}
	w.judgeOwner(st)
	switch {
	case st.IsSymlink():
		err = w.follow(next, st)
		next.Close()
		return false, err
	case !st.IsDir() && len(w.todo) > 0:
		next.Close()
		return false, notDirectory(next.path, st)
	}
	if over, ok := w.view[st.ID]; ok {
		label := next.path
		next.Close()
		if next, err = over.Dup(); err != nil {
			return false, err
		}
		next.path = label
		if st, err = next.Stat(); err != nil {
			next.Close()
			return false, err
		}
	}
	w.stack = append(w.stack, place{next, st})
	return false, nil
}

// judge notes what others may do to the names in the directory where we are.
func (w *walker) judge() {
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
	if !w.exposure.Exposed() {
		w.exposure.Dir, w.exposure.Reason = w.here().path, reason
	}
	others := st.Mode&0o022 != 0 && st.Mode&0o1000 == 0
	if st.UID != 0 || others {
		w.exposure.Swaps = append(w.exposure.Swaps, Swap{w.here().path, reason, st.UID, others})
	}
}

// judgeOwner notes that in a sticky directory an entry can be renamed by its own
// owner.
func (w *walker) judgeOwner(entry Stat) {
	here := w.here().stat
	if entry.UID != 0 && here.Mode&0o022 != 0 && here.Mode&0o1000 != 0 {
		reason := fmt.Sprintf("mode %04o, and the entry is owned by uid %d", here.Mode, entry.UID)
		w.exposure.Swaps = append(w.exposure.Swaps, Swap{w.here().path, reason, entry.UID, false})
	}
}

func (w *walker) follow(link Dir, st Stat) error {
	if st.UID != 0 {
		return pathError("open", link.path, fmt.Errorf("is a symbolic link owned by uid %d: only root's are followed", st.UID))
	}
	if w.exposure.Exposed() {
		return pathError("open", link.path, fmt.Errorf("is a symbolic link below %s (%s): none is followed there", w.exposure.Dir, w.exposure.Reason))
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
