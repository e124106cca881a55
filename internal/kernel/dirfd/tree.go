package dirfd

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// maxDepth is how deep a tree is gone into with a descriptor for each level: the limit
// of those may be 1024. What lies deeper is gone to and left again with one.
const maxDepth = 200

// maxUndated is how many directories are removed of which the filesystem does not say
// whether they were made meanwhile; see removal.
const maxUndated = 10_000

// RemoveTree removes the entry called name with all that is below it, however
// deep and however wide. It goes by handle, never follows a link and never
// crosses into another mount; each directory is root's before it is emptied, so
// that nobody adds or renames anything in it meanwhile, or leads us out of the
// tree. Nothing in it is opened but directories, and nothing is renamed, which a
// directory without its key (fscrypt) does not permit. Subvolumes of btrfs, which
// users can make and make read-only, go as directories do. The entry itself goes last,
// so that a run which was cut short can be repeated. progress, which may be nil, is
// told of each removed entry.
func (d Dir) RemoveTree(name string, progress func()) error {
	r := newRemoval(progress)
	return r.tree(d, name, 0)
}

// Removal is RemoveTree a part at a time.
type Removal struct{ of *removal }

// NewRemoval begins one.
func NewRemoval() Removal { return Removal{newRemoval(nil)} }

// Go goes on until it has removed something for that long, or for as long as it took to
// come to what was left; what is left then is an error of IsUnfinished.
func (r Removal) Go(d Dir, name string, most time.Duration) error {
	r.of.most, r.of.part, r.of.until, r.of.over = most, time.Now(), time.Time{}, false
	return r.of.tree(d, name, 0)
}

// removal is one removal of a tree. It comes to an end although a process that
// holds a directory further down, which is not root's yet, may go on to make
// directories in it: those that were made after the beginning are left, and of
// those before there are only so many.
type removal struct {
	progress func()
	began    time.Time
	most     time.Duration // of this part; 0: as long as it takes
	part     time.Time     // when it began
	until    time.Time     // zero: it has removed nothing yet
	over     bool          // its time is
	left     ID            // the directory below maxDepth that was left last
	seen     int           // at what was looked
	done     int           // what was removed
	undated  int           // directories of unknown age, and subvolumes: a snapshot is as old as what it was made of
}

func newRemoval(progress func()) *removal {
	r := &removal{began: time.Now()}
	r.progress = func() {
		if r.done++; r.most > 0 && r.until.IsZero() {
			r.until = time.Now().Add(max(r.most, time.Since(r.part)))
		}
		if progress != nil {
			progress()
		}
	}
	return r
}

// look looks at the clock now and then.
func (r *removal) look() {
	const often = 64
	if r.seen++; r.seen%often == 0 && !r.until.IsZero() {
		r.over = r.over || time.Now().After(r.until)
	}
}

// errUnfinished is what IsUnfinished looks for. It is told to nobody.
var errUnfinished = errors.New("not finished")

// IsUnfinished reports whether a Removal left something for lack of time.
func IsUnfinished(err error) bool { return errors.Is(err, errUnfinished) }

// errStillMade is what IsStillMade looks for.
var errStillMade = errors.New("was made while the tree was being removed: a process that holds a directory in it goes on")

// IsStillMade reports whether RemoveTree left something because somebody was
// making more of it all the while.
func IsStillMade(err error) bool { return errors.Is(err, errStillMade) }

// errTooDeep is what IsTooDeep looks for.
var errTooDeep = fmt.Errorf("more than %d directories lie too deep for one run", maxUndated)

// IsTooDeep reports whether RemoveTree left something for the next time, because there
// was more than it removes where it cannot tell what was made meanwhile.
func IsTooDeep(err error) bool { return errors.Is(err, errTooDeep) }

func (r *removal) tree(d Dir, name string, depth int) error {
	child, err := r.enter(d, name, depth)
	if err != nil || !child.IsOpen() {
		return err
	}
	defer child.Close()
	// root's from here on: whoever holds a handle of it can neither add nor rename
	// in it while it is emptied, nor move it away. Where that is not permitted
	// it is removed as far as they let us.
	alone := child.SetOwner(0, 0, 0o700) == nil
	empty := func() error { return r.entries(child, depth) }
	if depth == maxDepth {
		empty = func() error { return r.below(child) }
	}
	for {
		before := r.done
		err := empty()
		if err == nil {
			if err = d.Rmdir(name); err == nil {
				r.progress()
				return nil
			}
		}
		// some filesystems leave out entries when others go while they are read; what is
		// left on purpose may be very many directories, and is looked at once
		if !alone || r.done == before || r.over || IsStillMade(err) || IsTooDeep(err) {
			return err
		}
	}
}

// enter removes an entry that is no directory. One that is it opens, to be read.
func (r *removal) enter(d Dir, name string, depth int) (Dir, error) {
	r.look()
	err := unix.Unlinkat(d.FD(), name, 0)
	if err == nil {
		r.progress()
		return Dir{}, nil
	}
	if errors.Is(err, unix.ENOENT) {
		return Dir{}, nil
	}
	// EISDIR on Linux, EPERM on some filesystems; POSIX allows both
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
		return Dir{}, pathError("unlink", join(d.path, name), err)
	}
	child, err := d.openTree(name)
	if err == nil && depth > 0 && !r.wasIn(child) {
		err = r.judge(child, depth)
	}
	if err != nil {
		child.Close()
	}
	return child, err
}

// wasIn reports whether a directory is the one that was left last. It was judged before; by
// now an overlay may have copied it up, because it became root's, and made it anew.
func (r *removal) wasIn(d Dir) bool {
	st, err := d.Stat()
	return err == nil && st.ID == r.left
}

// judge says why a directory is left where it is. A subvolume becomes writable.
func (r *removal) judge(child Dir, depth int) error {
	made, known, ino := child.born()
	if known && made.After(r.began) && !made.After(time.Now()) {
		return pathError("remove", child.path, errStillMade)
	}
	bounded := !known && depth > maxDepth
	if child.subvolume(ino) {
		child.thaw()
		bounded = depth > 1
	}
	if !bounded {
		return nil
	}
	if r.undated++; r.undated > maxUndated {
		return pathError("remove", child.path, errTooDeep)
	}
	return nil
}

// below empties a directory of root's, however deep that is, with one descriptor: it
// goes into the first directory that is not empty, and back by "..". Each directory on
// the way is root's by then, so that nobody can have moved what is in it.
func (r *removal) below(top Dir) error {
	at, err := top.Dup()
	if err != nil {
		return err
	}
	defer func() { at.Close() }()
	type step struct {
		dir  ID
		read int64 // from there on it is read again
	}
	var way []step // the directories above it
	var read int64
	for {
		st, err := at.Stat()
		if err != nil {
			return err
		}
		next, read2, err := r.first(at, read)
		switch {
		case err != nil:
			return err
		case next.IsOpen():
			way, read = append(way, step{st.ID, read2}), 0
		case len(way) == 0:
			return nil
		default:
			above := way[len(way)-1]
			if next, err = at.up(above.dir); err != nil {
				return err
			}
			way, read, r.left = way[:len(way)-1], above.read, st.ID
		}
		at.Close()
		at = next
	}
}

// first removes what is in a directory, from an offset on, up to the first directory
// that is not empty, and opens that; it is not open where there is none. at is where
// that one is read again: from the beginning, the kernel would go through all that was
// removed, again for each of very many directories.
func (r *removal) first(d Dir, from int64) (next Dir, at int64, err error) {
	// until nothing is left when it is read from the beginning: some filesystems leave
	// out entries when others go while they are read
	for before, begin := -1, int64(-1); err == nil && !next.IsOpen() && (before != r.done || begin != 0); from = 0 {
		if r.over {
			return Dir{}, 0, pathError("remove", d.path, errUnfinished)
		}
		before, begin = r.done, from
		end := d.readFrom(from, func(name string, place int64) bool {
			if next, err = r.enter(d, name, maxDepth+1); err == nil && next.IsOpen() {
				at, err = place, r.goInto(d, name, &next)
			}
			return err == nil && !next.IsOpen() && !r.over
		})
		if err == nil {
			err = end
		}
	}
	if err != nil {
		next.Close()
	}
	return next, at, err
}

// goInto removes a directory that is empty, and makes root's what is not: then it stays
// open. One that was just left is to be empty.
func (r *removal) goInto(d Dir, name string, next *Dir) error {
	err := d.Rmdir(name)
	if err == nil {
		r.progress()
		r.left = ID{} // another one may get its number
		next.Close()
		return nil
	}
	st, err2 := next.Stat()
	if err2 != nil || st.ID == r.left {
		return err
	}
	next.path = d.path // a label, which grows with each level else
	return next.SetOwner(0, 0, 0o700)
}

// up opens the directory that a directory lies in, if it is the one with this identity.
func (d Dir) up(want ID) (Dir, error) {
	fd, err := unix.Openat(d.FD(), "..", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return Dir{}, pathError("open", d.path, err)
	}
	up := newDir(fd, d.path)
	st, err := up.Stat()
	if err == nil && st.ID != want {
		err = pathError("remove", d.path, errors.New("was moved while the tree was being removed"))
	}
	if err != nil {
		up.Close()
	}
	return up, err
}

// entries removes what is in a directory, a few names at a time: there may be
// millions. The error is the first one; what can be removed is, all the same.
func (r *removal) entries(d Dir, depth int) error {
	if _, err := unix.Seek(d.FD(), 0, 0); err != nil {
		return pathError("read", d.path, err)
	}
	var first error
	err := readNames(d.FD(), d.path, func(names []string) bool {
		for _, n := range names {
			if err := r.tree(d, n, depth+1); err != nil && first == nil {
				first = err
			}
			if r.over {
				first = pathError("remove", d.path, errUnfinished)
				return false
			}
		}
		return true
	})
	if first == nil {
		first = err
	}
	return first
}

// openTree is LookupHere of a directory, to be read.
func (d Dir) openTree(name string) (Dir, error) {
	path := join(d.path, name)
	fd, err := d.open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, unix.RESOLVE_NO_XDEV, 0)
	if err != nil {
		return Dir{}, pathError("open", path, err)
	}
	return newDir(fd, path), nil
}

// born is when a directory was made, which nobody can change afterwards, and its inode
// number; known is false where the filesystem does not keep that (statx(2),
// STATX_BTIME).
func (d Dir) born() (at time.Time, known bool, ino uint64) {
	var x unix.Statx_t
	err := unix.Statx(d.FD(), "", unix.AT_EMPTY_PATH, unix.STATX_BTIME|unix.STATX_INO, &x)
	return time.Unix(x.Btime.Sec, int64(x.Btime.Nsec)), err == nil && x.Mask&unix.STATX_BTIME != 0, x.Ino
}
