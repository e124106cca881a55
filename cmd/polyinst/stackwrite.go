package main

import (
	"errors"
	"fmt"
	"slices"

	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/internal/kernel/dirfd"
)

// write replaces files, and notes first how they were. begin is called when that
// is noted, before the first one is replaced.
func (k *keeper) write(changes []pamstack.Change, waits *waiting, begin func() error) error {
	dir, err := makeKept()
	if err != nil {
		return err
	}
	defer dir.Close()
	for _, c := range changes {
		absent, _, err := k.unchanged(c)
		if err != nil {
			return err
		}
		if !absent {
			if err := dir.Replace(c.Name, c.Old, dirfd.Likeness{Mode: 0o600}); err != nil {
				return err
			}
		}
		k.note.Files = append(k.note.Files, noted{c.Name, absent, digestOf(c.New), waits != nil})
	}
	k.note.Waits = waits
	if err := k.save(); err != nil {
		return err
	}
	if err := begin(); err != nil {
		return errors.Join(err, k.undo(changes))
	}
	for _, c := range changes {
		// once more: begin takes long, and another program may write files of PAM
		_, like, err := k.unchanged(c)
		if err == nil {
			err = k.pam.Replace(c.Name, c.New, like)
		}
		if err != nil {
			return errors.Join(err, k.undo(changes))
		}
	}
	return nil
}

// undo takes back what write has done so far.
func (k *keeper) undo(changes []pamstack.Change) error {
	return k.restore(names(changes), func(string) {})
}

// unchanged sees that a file is as it was when the change was planned, and how the
// new one is to be.
func (k *keeper) unchanged(c pamstack.Change) (absent bool, like dirfd.Likeness, err error) {
	dir := k.pam
	vendor, _ := dirfd.Split(c.From)
	if absent = vendor != pamDir; absent {
		way, err := dirfd.Walk(vendor, nil)
		if err != nil {
			return false, like, err
		}
		defer way.Close()
		if _, err := readIn(k.pam, c.Name); !dirfd.IsNotExist(err) {
			return false, like, changedMeanwhile(c)
		}
		dir = way.Dir
	}
	f, err := dir.OpenFile(c.Name)
	if err != nil {
		return false, like, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return false, like, err
	}
	if st.Nlink > 1 && !absent {
		return false, like, fmt.Errorf("%s has %d names, of which a change would leave all but one: `find /etc -xdev -samefile %s` shows them: remove the others", c.From, st.Nlink, c.From)
	}
	text, err := f.ReadAll(pamLimit)
	if err != nil {
		return false, like, err
	}
	if string(text) != string(c.Old) {
		return false, like, changedMeanwhile(c)
	}
	like, err = f.Likeness()
	if absent { // with the label and the rights of its new directory
		like = dirfd.Likeness{UID: like.UID, GID: like.GID, Mode: like.Mode}
	}
	return absent, like, err
}

func changedMeanwhile(c pamstack.Change) error {
	return fmt.Errorf("%s: it was changed meanwhile", c.From)
}

// restore puts files back as they were before enable, and forgets them. From one
// that was changed since, and from one that enable did not write, only our lines
// are taken out. said is told of each file what was done.
func (k *keeper) restore(names []string, said func(string)) error {
	var errs []error
	for _, name := range names {
		if err := k.restoreOne(name, said); err != nil {
			errs = append(errs, err)
			continue
		}
		k.note.Files = slices.DeleteFunc(k.note.Files, func(f noted) bool { return f.Name == name })
	}
	if !slices.ContainsFunc(k.note.Files, func(f noted) bool { return f.Waits }) {
		k.note.Waits = nil
	}
	return errors.Join(append(errs, k.unbegin())...)
}

func (k *keeper) restoreOne(name string, said func(string)) error {
	path := pamDir + "/" + name
	f, err := k.pam.OpenFile(name)
	if dirfd.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	now, err := f.ReadAll(pamLimit)
	if err != nil {
		return err
	}
	old, what := pamstack.WithoutOurs(now), "without our line"
	if n := k.find(name); n != nil && n.Absent && n.New == digestOf(now) {
		said(path + ": removed, the vendor's file counts again")
		return k.pam.Remove(name)
	} else if n != nil && !n.Absent {
		before, err := keptFile(name)
		if err != nil {
			return err
		}
		if n.New == digestOf(now) || string(before) == string(now) {
			old, what = before, "as it was"
		}
	}
	if string(old) == string(now) {
		return nil
	}
	like, err := f.Likeness()
	if err != nil {
		return err
	}
	said(path + ": " + what)
	return k.pam.Replace(name, old, like)
}

// unbegin saves the note, and removes the drop-in that enable has begun with when
// no stack has a line of ours any more.
func (k *keeper) unbegin() error {
	if k.note.Begun == nil || len(k.note.Files) > 0 {
		return k.save()
	}
	stacks, err := readStacks(pamDir)
	if err != nil {
		return errors.Join(err, k.save())
	}
	if len(pamstack.Services(stacks)) == 0 {
		if err := k.note.Begun.remove(); err != nil {
			return err
		}
	}
	k.note.Begun = nil
	return k.save()
}

// remove removes the drop-in, unless somebody has changed it.
func (b begun) remove() error {
	dir, name := dirfd.Split(b.Path)
	way, err := dirfd.Walk(dir, nil)
	if err != nil {
		return err
	}
	defer way.Close()
	if way.Missing {
		return nil
	}
	if err := way.Dir.RemoveUnfinished(); err != nil {
		return err
	}
	if text, err := readIn(way.Dir, name); err == nil && string(text) == beginningTmp {
		if err := way.Dir.Remove(name); err != nil {
			return err
		}
	}
	if b.Made {
		_ = way.Parent.Rmdir(way.Name) // somebody may have put others there
	}
	return nil
}
