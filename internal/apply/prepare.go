package apply

import (
	"fmt"
	"strings"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/core/selinux"
	"pam_polyinst/internal/core/shellword"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/lsm"
	"pam_polyinst/internal/kernel/selinuxfs"
	"pam_polyinst/internal/observe"
)

// PrepareParent makes an instance parent of the polydir, root's with the mode that p
// says, and the directories above it that are missing. It looks at a parent that
// exists and leaves it as it is. It makes none where users can create names, also with
// parent_in_unsafe_dir, which permits only a parent that exists already.
func PrepareParent(path string, p *config.Polydir) (made bool, err error) {
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		if made, err = prepareOne(path[:i], i == len(path), p.ParentMode, p.ParentInUnsafeDir); err != nil {
			return false, err
		}
	}
	if made {
		return true, nil
	}
	return false, CheckParent(path, p)
}

func prepareOne(path string, last bool, mode uint32, unsafe bool) (made bool, err error) {
	way, err := dirfd.Walk(path, nil)
	if err != nil {
		return false, err
	}
	defer way.Close()
	if way.Exposure.Dir != "" && !unsafe {
		return false, fmt.Errorf("users can create names in %q (%s): %s, or parent_in_unsafe_dir = true",
			way.Exposure.Dir, way.Exposure.Reason, plan.BetterParent(way.Exposure.Dir))
	}
	if !way.Missing {
		return false, nil
	}
	if way.Exposure.Dir != "" {
		return false, fmt.Errorf("does not exist in %q, where users can create names: make it by hand, root's, with mode %04o", way.Exposure.Dir, mode)
	}
	want := uint32(0o755)
	if last {
		want = mode
	}
	// at once with its mode, and perhaps by another prepare: who looks meanwhile, be it a
	// session, sees nothing that is to be mended
	if err := way.Parent.MkdirExact(way.Name, want); dirfd.IsExist(err) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	dir, err := way.Parent.Lookup(way.Name)
	if err != nil {
		return false, err
	}
	defer dir.Close()
	return true, dir.SetOwner(0, 0, want)
}

// CheckParent says what is wrong with an instance parent of the polydir.
func CheckParent(path string, p *config.Polydir) error {
	way, err := dirfd.Walk(path, nil)
	if err != nil {
		return err
	}
	defer way.Close()
	movable := len(way.Exposure.Swaps) > 0 || way.Exposure.Foreign != ""
	switch {
	case way.Missing:
		return dirfd.NotExist(path)
	case way.Stat.UID != 0:
		return fmt.Errorf("owned by uid %d, want root: %s", way.Stat.UID, plan.ParentRepair(p, path, "", movable, observe.IsInstance(path), "chown root:root"))
	case !p.ParentModeAny && way.Stat.Mode != p.ParentMode:
		return fmt.Errorf("mode %04o, want %04o: %s", way.Stat.Mode, p.ParentMode, plan.ParentRepair(p, path, "", movable, observe.IsInstance(path), fmt.Sprintf("chmod %04o", p.ParentMode)))
	}
	return nil
}

// Repair gives an existing instance the owner, group, mode and label that a new
// one would have: those of its polydir, or the context in its name. What is no directory is not touched.
func Repair(rule plan.Rule, name string) error {
	polydir, err := dirfd.WalkTo(rule.Path)
	if err != nil {
		return err
	}
	defer polydir.Close()
	parent, err := dirfd.WalkTo(rule.Parent)
	if err != nil {
		return err
	}
	defer parent.Close()
	if strings.ContainsRune(name, '/') {
		return fmt.Errorf("%q is no name of an instance", name)
	}
	dir, err := parent.Dir.LookupHere(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	st, err := dir.Stat()
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return fmt.Errorf("%s/%s is a %s, not a directory: look at it and move it away", rule.Parent, name, st.TypeName())
	}
	if rule.Config.Method == config.MethodOverlay {
		return repairLayers(dir, plan.Owner{UID: polydir.Stat.UID, GID: polydir.Stat.GID, Mode: polydir.Stat.Mode})
	}
	if err := relabel(dir, polydir.Dir, rule, name); err != nil {
		return err
	}
	return dir.SetOwner(polydir.Stat.UID, polydir.Stat.GID, polydir.Stat.Mode)
}

// relabel gives an instance the context in its name, or else the polydir's.
func relabel(dir, polydir dirfd.Dir, rule plan.Rule, name string) error {
	name = strings.TrimPrefix(name, rule.Prefix)
	if selinuxfs.Active() {
		label := selinux.InName(name)
		if label == "" {
			var err error
			if label, err = polydir.Xattr(selinuxfs.XattrLabel); err != nil || label == "" {
				return nil
			}
		}
		return setSELinuxLabel(dir, label)
	}
	if _, active, err := lsm.Own().Smack(); !active {
		return err
	}
	label, cut := plan.SmackLabelInName(name)
	switch {
	case cut, label == "" && rule.Config.Method == config.MethodContext:
		return fmt.Errorf("its label cannot be told from its name: setfattr -n security.SMACK64 -v LABEL %s", shellword.Quote(dir.Path()))
	case label != "":
		return setSmackLabel(dir, label, false)
	}
	label, transmute, err := observe.SmackLabel(polydir)
	if err != nil || label == "" {
		return err
	}
	return setSmackLabel(dir, label, transmute)
}

// OwnDirectory opens a directory of ours that is no instance parent, and makes it where
// it is missing. Advice about parents, such as another place, would lead nowhere.
func OwnDirectory(path string) (dirfd.Way, error) {
	way, err := dirfd.WalkTo(path)
	if dirfd.IsNotExist(err) {
		if _, err := PrepareParent(path, &config.Polydir{ParentMode: 0o755, ParentModeAny: true}); err != nil {
			return dirfd.Way{}, fmt.Errorf("%s: %w", path, err)
		}
		way, err = dirfd.WalkTo(path)
	}
	if err != nil {
		return dirfd.Way{}, err
	}
	if err := dirfd.Trusted(way, way.Stat); err != nil {
		way.Close()
		return dirfd.Way{}, err
	}
	return way, nil
}

// KeepState writes a file of our own below a directory that is root's alone,
// which is made where it is missing.
func KeepState(dir, name string, content []byte) error {
	way, err := OwnDirectory(dir)
	if err != nil {
		return err
	}
	defer way.Close()
	if err := way.Dir.RemoveUnfinished(); err != nil {
		return err
	}
	return way.Dir.WriteFile(name, content)
}
