package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/internal/apply"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/observe"
)

// What enable has changed is kept below observe.StateDir until disable: the files
// as they were, under their names, and a note.
//
// The note is on the disk before the first file of PAM is replaced, and gone only
// after the last one is back. Whoever is killed between leaves files each of which
// is the old or the new one, and a note by which the next command goes on.
const (
	keptDir  = "pam-before"
	noteFile = ".note.json" // no service has such a name
)

// note is what is kept of a change that can be undone.
type note struct {
	Files []noted  `json:"files"`
	Begun *begun   `json:"begun"` // null: the configuration is not enable's
	Waits *waiting `json:"waits"` // null: nothing is to be confirmed
}

// begun is the drop-in with which enable has begun a configuration.
type begun struct {
	Path string `json:"path"`
	Made bool   `json:"made"` // its directory was not there
}

type noted struct {
	Name   string `json:"name"`
	Absent bool   `json:"absent"` // only the vendor had a file
	New    string `json:"new"`    // the digest of what was written
	Waits  bool   `json:"waits"`  // it is to be confirmed
}

// waiting says until when somebody can confirm.
type waiting struct {
	ID    string    `json:"id"` // of the process that takes it back
	Until time.Time `json:"until"`
}

// keeper is who changes files of PAM. It holds a lock: there is one at a time.
type keeper struct {
	pam  dirfd.Dir // /etc/pam.d
	lock dirfd.File
	note note
}

// The locks, directories of root's in /run: of who changes files, and of the
// process that waits to take a change back. Nobody holds the latter after a boot.
const (
	enableLock   = "polyinst.enable"
	rollbackLock = "polyinst.rollback"
)

// patient is how long a command waits for another one to end.
const patient = 10 * time.Second

// keep opens what a change needs. With wait it waits for others without an end.
func keep(wait bool) (*keeper, error) {
	k := &keeper{}
	err := k.open(wait)
	if err != nil {
		k.close()
		return nil, err
	}
	return k, nil
}

func (k *keeper) open(wait bool) error {
	var err error
	if k.lock, err = openLock(enableLock); err != nil {
		return err
	}
	if wait {
		err = k.lock.Lock(dirfd.Exclusive)
	} else {
		var ours bool
		if ours, err = k.lock.LockBy(dirfd.Exclusive, time.Now().Add(patient)); err == nil && !ours {
			err = errors.New("another polyinst enable, disable or confirm is at work")
		}
	}
	if err != nil {
		return err
	}
	way, err := dirfd.WalkTo(pamDir)
	if err != nil {
		return err
	}
	k.pam, way.Dir = way.Dir, dirfd.Dir{}
	defer way.Close()
	if way.Exposure.Exposed() {
		dir, reason := way.Exposure.Where()
		return fmt.Errorf("%s: %s is %s: only root may write there", pamDir, dir, reason)
	}
	if err := dirfd.TrustedFile(pamDir, way.Stat); err != nil {
		return err
	}
	k.note, err = readNote()
	return err
}

func (k *keeper) close() {
	k.pam.Close()
	k.lock.Close()
}

// openLock opens a lock that only root can open: whoever can open one can hold it.
func openLock(name string) (dirfd.File, error) {
	way, err := dirfd.WalkTo("/run")
	if err != nil {
		return dirfd.File{}, err
	}
	defer way.Close()
	if err := dirfd.Trusted(way, way.Stat); err != nil {
		return dirfd.File{}, err
	}
	if err := way.Dir.Mkdir(name, 0o700); err != nil && !dirfd.IsExist(err) {
		return dirfd.File{}, err
	}
	return way.Dir.OpenLock(name)
}

// kept opens the directory of what is kept; there may be none.
func kept() (dirfd.Dir, error) {
	path := observe.StateDir + "/" + keptDir
	way, err := dirfd.WalkTo(path)
	if err != nil {
		return dirfd.Dir{}, err
	}
	defer way.Close()
	if err := dirfd.Trusted(way, way.Stat); err != nil {
		return dirfd.Dir{}, err
	}
	return way.Dir.Dup()
}

// keptFile is a file as it was before enable.
func keptFile(name string) ([]byte, error) {
	dir, err := kept()
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return readIn(dir, name)
}

func readNote() (note, error) {
	dir, err := kept()
	if dirfd.IsNotExist(err) {
		return note{}, nil
	}
	if err != nil {
		return note{}, err
	}
	defer dir.Close()
	raw, err := readIn(dir, noteFile)
	if dirfd.IsNotExist(err) {
		return note{}, nil
	}
	var n note
	if err == nil {
		err = json.Unmarshal(raw, &n)
	}
	if err != nil {
		return n, fmt.Errorf("%s/%s: %w: the files beside it are those of %s as they were", dir.Path(), noteFile, err, pamDir)
	}
	return n, nil
}

// pamLimit is the size of the largest file of PAM that is read.
const pamLimit = 1 << 20

func readIn(dir dirfd.Dir, name string) ([]byte, error) {
	f, err := dir.OpenFile(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadAll(pamLimit)
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// save writes the note, and removes the copies that it does not name. If there is
// nothing to note, it removes all that is kept.
func (k *keeper) save() error {
	empty := len(k.note.Files) == 0 && k.note.Begun == nil
	dir, err := kept()
	if dirfd.IsNotExist(err) {
		if empty {
			return nil
		}
		if dir, err = makeKept(); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	if empty {
		err = dir.Remove(noteFile)
	} else {
		var raw []byte
		if raw, err = json.MarshalIndent(k.note, "", "  "); err == nil {
			err = dir.Replace(noteFile, append(raw, '\n'), dirfd.Likeness{Mode: 0o600})
		}
	}
	return errors.Join(err, k.sweep(dir, empty))
}

func makeKept() (dirfd.Dir, error) {
	path := observe.StateDir + "/" + keptDir
	if _, err := apply.PrepareParent(path, &config.Polydir{ParentMode: 0o700, ParentModeAny: true}); err != nil {
		return dirfd.Dir{}, fmt.Errorf("%s: %w", path, err)
	}
	return kept()
}

// sweep removes copies that nothing names any more, and what a killed command has
// not finished.
func (k *keeper) sweep(dir dirfd.Dir, empty bool) error {
	err := errors.Join(dir.RemoveUnfinished(), k.pam.RemoveUnfinished())
	names, err2 := dir.Names()
	err = errors.Join(err, err2)
	for _, name := range names {
		if !strings.HasPrefix(name, ".") && k.find(name) == nil {
			err = errors.Join(err, dir.Remove(name))
		}
	}
	if !empty || err != nil {
		return err
	}
	way, err := dirfd.Walk(observe.StateDir, nil)
	if err != nil {
		return err
	}
	defer way.Close()
	return errors.Join(way.Dir.Rmdir(keptDir), way.Dir.Sync())
}

func (k *keeper) find(name string) *noted {
	i := slices.IndexFunc(k.note.Files, func(f noted) bool { return f.Name == name })
	if i < 0 {
		return nil
	}
	return &k.note.Files[i]
}

// tidy forgets files from which somebody has taken our lines.
func (k *keeper) tidy() error {
	k.note.Files = slices.DeleteFunc(k.note.Files, func(f noted) bool {
		text, err := readIn(k.pam, f.Name)
		return !f.Waits && (dirfd.IsNotExist(err) || err == nil && !pamstack.Ours(text))
	})
	return k.unbegin()
}
