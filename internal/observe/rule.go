package observe

import (
	"errors"
	"fmt"
	"io/fs"

	"pam_polyinst/internal/config"
	"pam_polyinst/internal/dirfd"
	"pam_polyinst/internal/mountfd"
	"pam_polyinst/internal/polyinst"
)

// Scene is what was found for one rule: the facts, and the handles they are
// about, by which everything is done from then on.
type Scene struct {
	Facts    polyinst.Facts
	Polydir  dirfd.Way
	Parent   dirfd.Way
	Instance dirfd.Dir
	Kept     map[string]dirfd.Dir // the entries of the public directory that `keep` names
}

// Close releases the handles.
func (s *Scene) Close() {
	s.Polydir.Close()
	s.Parent.Close()
	s.Instance.Close()
	for _, d := range s.Kept {
		d.Close()
	}
}

// Rule looks at the polydir, the instance parent and the instance of a rule.
// What is wrong with them is a fact, not an error; view lays the instances of
// outer polydirs over these.
func Rule(rule polyinst.Rule, s polyinst.Subject, m polyinst.Machine, view dirfd.View) (*Scene, *polyinst.Refusal) {
	scene := &Scene{}
	var err error
	scene.Polydir, err = dirfd.Walk(rule.Path, view)
	scene.Facts.Polydir = facts(rule.Path, scene.Polydir, err)
	if err == nil && !scene.Polydir.Missing {
		flags, err := mountfd.FlagsOf(scene.Polydir.Dir)
		if err != nil {
			scene.Facts.Polydir.Problem = problem(err)
		}
		scene.Facts.PolydirFlags = config.MountFlags(flags)
	}
	if c := rule.Config.Create; c != nil && (scene.Polydir.Missing || unfinished(scene)) {
		scene.Facts.PolydirUnfinished = !scene.Polydir.Missing
		if scene.Facts.Create, err = createOwner(c, s); err != nil {
			scene.Close()
			return nil, &polyinst.Refusal{Fault: polyinst.FaultConfig, Polydir: rule.Path, Reason: "create: " + err.Error()}
		}
	}
	contexts := label(scene, rule, m)
	if rule.Config.Method == config.MethodTmpfs {
		keep(scene, rule)
		return scene, nil
	}
	var names polyinst.Names
	if scene.Facts.LabelProblem == "" && (m.Security.Problem == "" || !polyinst.ByContext(rule, m)) {
		var r *polyinst.Refusal
		if names, r = polyinst.InstanceNames(rule, s, m, contexts...); r != nil {
			scene.Close()
			return nil, r
		}
	}
	// in the host's view: a parent inside a polydir is the public one
	scene.Parent, err = dirfd.Walk(rule.Parent, nil)
	if dirfd.IsNotExist(err) {
		// of the directories above it: it is as missing as they are
		err, scene.Parent.Missing = nil, true
	}
	scene.Facts.Parent = facts(rule.Parent, scene.Parent, err)
	scene.Facts.InstanceName = rule.Prefix + names.Own
	if err == nil {
		parentFS(scene)
		quota(scene, rule)
	}
	if err == nil && !scene.Parent.Missing && names.Own != "" {
		instance(scene, rule, s, names)
		if m.Security.Labels() && scene.Facts.Instance.Exists {
			compareLabels(scene, m.Security.Module)
		}
	}
	keep(scene, rule)
	return scene, nil
}

// unfinished tells whether the polydir may be one that a session began to make
// and never finished: root's, empty, and with the mode 0000 that it has until
// then.
func unfinished(scene *Scene) bool {
	st := scene.Polydir.Stat
	if !scene.Polydir.Dir.IsOpen() || st.UID != 0 || st.GID != 0 || st.Mode != 0 || len(scene.Polydir.Exposure.Swaps) > 0 {
		return false
	}
	names, err := scene.Polydir.Dir.Names()
	return err == nil && len(names) == 0
}

func createOwner(c *config.Create, s polyinst.Subject) (polyinst.Owner, error) {
	owner, err := c.Owner.Expand(s.Vars())
	if err != nil {
		return polyinst.Owner{}, err
	}
	group, err := c.Group.Expand(s.Vars())
	if err != nil {
		return polyinst.Owner{}, err
	}
	if owner == s.User && group == "" {
		return polyinst.Owner{UID: s.UID, GID: s.GID, Mode: c.Mode}, nil
	}
	uid, gid, err := Owner(owner, group)
	return polyinst.Owner{UID: uid, GID: gid, Mode: c.Mode}, err
}

func facts(path string, way dirfd.Way, err error) polyinst.DirFacts {
	f := polyinst.DirFacts{Exists: err == nil && !way.Missing, Exposed: way.Exposure.Dir}
	for _, s := range way.Exposure.Swaps {
		f.Swaps = append(f.Swaps, polyinst.Swap(s))
	}
	if err != nil {
		f.Problem = problem(err)
	}
	if p := (*fs.PathError)(nil); errors.As(err, &p) && p.Path == path {
		f.Problem = p.Err.Error() // whose it is, the message says by itself
	}
	if f.Exists {
		f.ID = polyinst.FileID(way.Stat.ID)
		f.Owner = polyinst.Owner{UID: way.Stat.UID, GID: way.Stat.GID, Mode: way.Stat.Mode}
	}
	return f
}

// problem is an error as a message about the path that it carries.
func problem(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Sprintf("%s: %v", p.Path, p.Err)
	}
	return err.Error()
}

// parentFS notes on what kind of filesystem the parent lies, or will lie.
func parentFS(scene *Scene) {
	dir := scene.Parent.Dir
	if scene.Parent.Missing {
		dir = scene.Parent.Parent
	}
	if !dir.IsOpen() {
		return
	}
	_, magic, err := dir.MountFlags()
	if err != nil && !dirfd.IsDenied(err) { // SELinux's stock policies do not let sshd ask
		scene.Facts.Parent.Problem = problem(err)
	}
	if err == nil {
		scene.Facts.ParentFS = networkFS[uint32(magic)]
	}
}

// instance looks for the first of the names under which an instance exists.
func instance(scene *Scene, rule polyinst.Rule, s polyinst.Subject, names polyinst.Names) {
	f := &scene.Facts
	parent := scene.Parent.Dir
	for i, name := range append([]string{names.Own}, names.Older...) {
		name = rule.Prefix + name
		lock, locked, lockErr := lockOf(parent, name)
		uid, recorded := lock.UID, locked && lock.Mode == LockOfOne
		dir, err := parent.LookupHere(name)
		if dirfd.IsNotExist(err) {
			continue
		}
		if i > 0 && recorded && uid != s.UID {
			// somebody else's by now: not to be used, and no reason to refuse
			dir.Close()
			continue
		}
		f.InstanceName, f.Recorded, f.RecordedUID = name, recorded, uid
		f.Unfinished = locked && lock.Mode == LockBegun
		f.Instance = instanceFacts(dir, err)
		if lockErr != nil {
			f.Instance.Problem = "its lock: " + problem(lockErr)
		}
		scene.Instance = dir
		return
	}
}

func instanceFacts(dir dirfd.Dir, err error) polyinst.DirFacts {
	if dirfd.IsOtherMount(err) {
		return polyinst.DirFacts{Problem: "another filesystem is mounted there"}
	}
	if err != nil {
		return polyinst.DirFacts{Problem: problem(err)}
	}
	st, err := dir.Stat()
	if err != nil {
		return polyinst.DirFacts{Problem: problem(err)}
	}
	if !st.IsDir() {
		return polyinst.DirFacts{Problem: fmt.Sprintf("is a %s, not a directory", st.TypeName())}
	}
	return polyinst.DirFacts{Exists: true, ID: polyinst.FileID(st.ID),
		Owner: polyinst.Owner{UID: st.UID, GID: st.GID, Mode: st.Mode}}
}

// InstanceUID is the account for which an instance was made, as its lock says,
// which only root can reach.
func InstanceUID(parent dirfd.Dir, name string) (uid uint32, recorded bool) {
	st, ok, err := lockOf(parent, name)
	return st.UID, err == nil && ok && st.Mode == LockOfOne
}

// InstanceBegun tells whether an instance was begun and never finished; while a
// session makes it, the lock is held.
func InstanceBegun(parent dirfd.Dir, name string) bool {
	st, ok, err := lockOf(parent, name)
	return err == nil && ok && st.Mode == LockBegun
}

// lockOf looks at the lock of an instance. Only where there is none, nothing is
// known; what cannot be looked at is an error.
func lockOf(parent dirfd.Dir, name string) (st dirfd.Stat, ok bool, err error) {
	locks, err := parent.LookupHere(polyinst.LockDir)
	if dirfd.IsNotExist(err) {
		return st, false, nil
	}
	if err != nil {
		return st, false, err
	}
	defer locks.Close()
	if st, err = locks.Stat(); err != nil {
		return st, false, err
	}
	if err := dirfd.TrustedFile(locks.Path(), st); err != nil {
		return st, false, err
	}
	lock, err := locks.LookupHere(name)
	if dirfd.IsNotExist(err) {
		return st, false, nil
	}
	if err != nil {
		return st, false, err
	}
	defer lock.Close()
	st, err = lock.Stat()
	return st, err == nil, err
}

// The modes of a lock say what is known of its instance; the time of its last
// change is that of the instance's last open.
const (
	LockOfNobody = 0o000  // just made: nothing
	LockBegun    = 0o300  // the instance is being made; without a holder: it was never finished
	LockOfOne    = 0o700  // finished, and the lock's owner is the account that it is for
	LockOfMany   = 0o1700 // finished, and shared
)

// networkFS are the filesystems (statfs(2)) whose directories other machines
// change too.
var networkFS = map[uint32]string{
	0x6969:     "NFS",
	0x517B:     "SMB",
	0xFF534D42: "CIFS",
	0xFE534D42: "SMB2",
	0x00C36400: "Ceph",
	0x5346414F: "AFS",
	0x73757245: "Coda",
	0x01021997: "9P",
	0x65735546: "FUSE",
	0x0BD00BD0: "Lustre",
	0x47504653: "GPFS",
}
