package observe

import (
	"errors"
	"fmt"
	"io/fs"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/instance"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mountfd"
	"pam_polyinst/internal/kernel/script"
)

// Scene is what was found for one rule: the facts, and the handles they are
// about, by which everything is done from then on.
type Scene struct {
	Facts        plan.Facts
	Polydir      dirfd.Way
	Parent       dirfd.Way
	Source       dirfd.Way // what method "bind" is to show
	Instance     dirfd.Dir
	InstanceStat dirfd.Stat
	Locks        instance.Locks       // of the parent
	Lock         dirfd.File           // of the instance
	Kept         map[string]dirfd.Dir // the entries of the public directory that `keep` names

	PolydirErr error // of the walk to the polydir
}

// Close releases the handles.
func (s *Scene) Close() {
	s.Polydir.Close()
	s.Parent.Close()
	s.Source.Close()
	s.Instance.Close()
	s.Locks.Close()
	s.Lock.Close()
	for _, d := range s.Kept {
		d.Close()
	}
}

// Rule looks at the polydir, the instance parent and the instance of a rule.
// What is wrong with them is a fact, not an error; view lays the instances of
// outer polydirs over these. own is the user whose mounts may be waited for: the
// session's; for a command of root's nobody, dirfd.NoUID. What the scene has ends with
// the walks.
func Rule(walks *dirfd.Walks, rule plan.Rule, s plan.Subject, m plan.Machine, view dirfd.View, own uint32) (*Scene, *plan.Refusal) {
	scene := &Scene{}
	scene.lookAtPolydir(walks, rule, view, own)
	r := scene.lookAtCreate(rule, s)
	if r == nil {
		scene.Facts.InitProblem = scene.initProblem(rule, m)
		scene.Facts.SkelProblem = scene.skelProblem(rule)
		if rule.Config.MakesDirectory() {
			r = scene.lookAtCover(walks, rule, s, m)
		} else {
			r = shown(scene, rule)
		}
	}
	if r != nil {
		scene.Close()
		return nil, r
	}
	return scene, nil
}

func (s *Scene) lookAtPolydir(walks *dirfd.Walks, rule plan.Rule, view dirfd.View, own uint32) {
	walk := walks.WalkFor
	if rule.Config.Method.Files() {
		walk = walks.WalkAny
	}
	s.Polydir, s.PolydirErr = walk(own, rule.Path, view)
	s.Facts.Polydir = s.facts(rule.Path, s.Polydir, s.PolydirErr)
	if s.PolydirErr == nil && !s.Polydir.Missing {
		flags, err := mountfd.FlagsAt(s.Polydir)
		if err != nil {
			s.Facts.Polydir.Problem = s.problem(err)
		}
		s.Facts.PolydirFlags = config.MountFlags(flags)
	}
}

// lookAtCreate finds out whose a polydir will be that has to be made, or finished.
func (s *Scene) lookAtCreate(rule plan.Rule, who plan.Subject) *plan.Refusal {
	c := rule.Config.Create
	if c == nil || !s.Polydir.Missing && !unfinished(s) {
		return nil
	}
	s.Facts.PolydirUnfinished = !s.Polydir.Missing
	var err error
	if s.Facts.Create, err = createOwner(c, who); err != nil {
		return &plan.Refusal{Fault: plan.FaultConfig, Polydir: rule.Path, Reason: "create: " + err.Error()}
	}
	return nil
}

// lookAtCover looks at what will cover the polydir: its label, and if it lies in an
// instance parent, that and the instance; an overlay's layers, and what it keeps.
func (s *Scene) lookAtCover(walks *dirfd.Walks, rule plan.Rule, who plan.Subject, m plan.Machine) *plan.Refusal {
	contexts := label(s, rule, m)
	var names plan.Names
	parent := false // there is one, and it can be looked into
	if rule.Config.InParent() {
		if s.Facts.LabelProblem == "" && (m.Security.Problem == "" || !plan.ByContext(rule, m)) {
			var r *plan.Refusal
			if names, r = plan.InstanceNames(rule, who, m, contexts...); r != nil {
				return r
			}
		}
		s.Facts.InstanceName = rule.Prefix + names.Own
		parent = s.lookAtParent(walks, rule)
	}
	overlay(s, rule)
	if parent && names.Own != "" {
		lookForInstance(s, rule, who, names)
		layers(s, rule)
		if f := &s.Facts; !f.Instance.Exists && f.Instance.Problem == "" {
			f.FormerName = formerName(s.Parent.Dir, rule, who)
		}
		if m.Security.Labels() && s.Facts.Instance.Exists {
			compareLabels(s, m.Security.Module)
		}
	}
	labelSkel(s, rule, m)
	keep(s, rule)
	return nil
}

// lookAtParent looks at the instance parent in the host's view: a parent inside a
// polydir is the public one.
func (s *Scene) lookAtParent(walks *dirfd.Walks, rule plan.Rule) (there bool) {
	var err error
	s.Parent, err = walks.WalkFor(dirfd.NoUID, rule.Parent, nil)
	if dirfd.IsNotExist(err) {
		// of the directories above it: it is as missing as they are
		err, s.Parent.Missing = nil, true
	}
	s.Facts.Parent = s.facts(rule.Parent, s.Parent, err)
	if err != nil {
		return false
	}
	if p := s.Facts.Parent; p.Exists && (p.Owner.UID != 0 || p.Owner.Mode != rule.Config.ParentMode) {
		s.Facts.ParentInstance = IsInstance(rule.Parent)
	}
	parentFS(walks, s, rule.Config.Skel)
	quota(s, rule)
	return !s.Parent.Missing
}

// unfinished reports whether the polydir may be one that a session began to make
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

func createOwner(c *config.Create, s plan.Subject) (plan.Owner, error) {
	owner, err := c.Owner.Expand(s.Vars())
	if err != nil {
		return plan.Owner{}, err
	}
	group, err := c.Group.Expand(s.Vars())
	if err != nil {
		return plan.Owner{}, err
	}
	if owner == s.User && group == "" {
		return plan.Owner{UID: s.UID, GID: s.GID, Mode: c.Mode}, nil
	}
	uid, gid, err := Owner(owner, group)
	return plan.Owner{UID: uid, GID: gid, Mode: c.Mode}, err
}

func (s *Scene) facts(path string, way dirfd.Way, err error) plan.DirFacts {
	f := plan.DirFacts{Exists: err == nil && !way.Missing, Exposed: way.Exposure.Dir, Foreign: way.Exposure.ForeignReason, VoidOwners: way.Exposure.VoidOwners}
	for _, swap := range way.Exposure.Swaps {
		f.Swaps = append(f.Swaps, plan.Swap(swap))
	}
	if err != nil {
		f.Problem = s.problem(err)
	}
	if p := (*fs.PathError)(nil); errors.As(err, &p) && p.Path == path {
		f.Problem = p.Err.Error() // whose it is, the message says by itself
	}
	if f.Exists {
		f.ID = plan.FileID(way.Stat.ID)
		f.Owner = plan.Owner{UID: way.Stat.UID, GID: way.Stat.GID, Mode: way.Stat.Mode}
	}
	return f
}

// problem is an error as a message, as a fact has it. It notes what a message does
// not tell: that the error comes from a limit, or from what anyone can bring about.
func (s *Scene) problem(err error) string {
	s.note(err)
	return problem(err)
}

func (s *Scene) note(err error) {
	switch {
	case dirfd.IsLimit(err):
		s.Facts.Short = plan.FaultUser
	case dirfd.IsScarce(err) && s.Facts.Short == plan.FaultConfig:
		s.Facts.Short = plan.FaultAnyone
	}
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
func parentFS(walks *dirfd.Walks, scene *Scene, files bool) {
	dir := scene.Parent.Dir
	if scene.Parent.Missing {
		dir = scene.Parent.Parent
	}
	if !dir.IsOpen() {
		return
	}
	f, err := scene.Parent.Filesystem()
	switch {
	case err != nil:
		scene.Facts.Parent.Problem = scene.problem(err)
	case !f.Kept:
		scene.Facts.ParentFS = f.Type
	}
	if err == nil && !scene.Parent.Missing && !f.ByUser {
		room, err := walks.Room(dir, scene.Parent.Stat, files)
		scene.Facts.ParentRoom, scene.Facts.ParentShut, scene.Facts.ParentScarce = room.Why, room.Shut, room.Scarce
		scene.Facts.ParentTight = room.Tight || room.Scarce
		if err != nil {
			scene.Facts.Parent.Problem = scene.problem(err)
		}
	}
}

// initProblem says why the init script of the rule cannot be run.
func (s *Scene) initProblem(rule plan.Rule, m plan.Machine) string {
	path := plan.InitPath(rule, m)
	if path == "" {
		return ""
	}
	if _, err := script.Check(path); err != nil {
		s.note(err)
		return err.Error()
	}
	return ""
}

// Skel is the directory whose content new instances get.
const Skel = "/etc/skel"

func (s *Scene) skelProblem(rule plan.Rule) string {
	if !rule.Config.Skel {
		return ""
	}
	way, err := dirfd.Walk(Skel, nil)
	if err != nil {
		return s.problem(err)
	}
	defer way.Close()
	if way.Missing {
		return ""
	}
	if err = dirfd.Trusted(way, way.Stat); err == nil {
		err = dirfd.CheckTree(way.Dir)
	}
	if err != nil {
		return s.problem(err)
	}
	return ""
}

// MayBeShared reports whether other machines may have the filesystem that a
// directory lies on: it is none that this kernel keeps itself, or that cannot be
// told.
func MayBeShared(dir dirfd.Dir) bool {
	f, err := dir.Filesystem()
	return err != nil || !f.Kept
}

// lookForInstance looks for the first of the names under which an instance exists.
func lookForInstance(scene *Scene, rule plan.Rule, s plan.Subject, names plan.Names) {
	f := &scene.Facts
	parent := scene.Parent.Dir
	var locksErr error
	scene.Locks, locksErr = instance.OpenLocks(parent)
	for i, name := range append([]string{names.Own}, names.Older...) {
		name = rule.Prefix + name
		lock, locked, lockErr := scene.lookAtLock(name, locksErr)
		uid, recorded := lock.UID, locked && lock.Mode == instance.OfOne
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
		f.Unfinished = locked && lock.Mode == instance.Begun
		f.Instance, scene.InstanceStat = instanceFacts(dir, err)
		if lockErr != nil {
			f.LockProblem = scene.problem(lockErr)
		}
		scene.Instance = dir
		return
	}
	if _, _, err := scene.lookAtLock(rule.Prefix+names.Own, locksErr); err != nil {
		f.LockProblem = scene.problem(err)
	}
}

// lookAtLock is what the lock of an instance says, which is open then; ok as
// instance.Look has it.
func (s *Scene) lookAtLock(name string, locksErr error) (state instance.State, ok bool, err error) {
	s.Lock.Close()
	if dirfd.IsNotExist(locksErr) {
		return state, false, nil
	}
	if locksErr != nil {
		return state, false, locksErr
	}
	s.Lock, state, ok, err = s.Locks.Look(name)
	return state, ok, err
}

func instanceFacts(dir dirfd.Dir, err error) (plan.DirFacts, dirfd.Stat) {
	if dirfd.IsOtherMount(err) {
		return plan.DirFacts{Problem: "another filesystem is mounted there"}, dirfd.Stat{}
	}
	if err != nil {
		return plan.DirFacts{Problem: problem(err)}, dirfd.Stat{}
	}
	st, err := dir.Stat()
	if err != nil {
		return plan.DirFacts{Problem: problem(err)}, st
	}
	if !st.IsDir() {
		return plan.DirFacts{Problem: fmt.Sprintf("is a %s, not a directory", st.TypeName())}, st
	}
	return plan.DirFacts{Exists: true, ID: plan.FileID(st.ID),
		Owner: plan.Owner{UID: st.UID, GID: st.GID, Mode: st.Mode}}, st
}
