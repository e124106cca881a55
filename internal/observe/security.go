package observe

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/core/selinux"
	"pam_polyinst/internal/core/shellword"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/lsm"
	"pam_polyinst/internal/kernel/selinuxfs"
)

// ContextFrom says which context of the host stands for the session's.
type ContextFrom int

// The values of ContextFrom.
const (
	ExecContext    ContextFrom = iota // set by pam_selinux or the host for its next execve; of AppArmor, the current one where none is set
	CurrentContext                    // the host's own: use_current_context
	DefaultContext                    // what the policy's files say of the user: use_default_context
)

// SELinuxActive reports whether SELinux is on.
func SELinuxActive() bool { return selinuxfs.Active() }

// Security asks what the security module gives the session of a host, whose thread
// host is. Where several are active, which kernels do not permit yet, SELinux counts
// before Smack, and Smack before AppArmor: the one that says most of files.
func Security(host lsm.Thread, from ContextFrom, s plan.Subject) plan.Security {
	if selinuxfs.Active() {
		return underSELinux(host, from, s)
	}
	return underAnother(host, from)
}

func underAnother(host lsm.Thread, from ContextFrom) plan.Security {
	if label, active, err := host.Smack(); active || err != nil {
		return otherModule(from, plan.Security{Module: plan.Smack, Enforcing: true, Session: label}, err)
	}
	profile, active, err := host.AppArmor()
	if !active && err == nil {
		return plan.Security{}
	}
	if err == nil && from == ExecContext {
		var waiting bool
		var next lsm.Profile
		if next, waiting, err = host.AppArmorExec(); waiting {
			profile = next
		}
	}
	sec := plan.Security{Module: plan.AppArmor, Enforcing: profile.Enforced()}
	if profile.Confined() {
		sec.Session = profile.Name
	}
	return otherModule(from, sec, err)
}

func underSELinux(host lsm.Thread, from ContextFrom, s plan.Subject) plan.Security {
	sec := plan.Security{Module: plan.SELinux, Enforcing: selinuxfs.Enforcing()}
	var err error
	switch from {
	case CurrentContext:
		sec.Session, err = selinuxfs.Current(host)
	case DefaultContext:
		sec.Session, err = defaultContext(host, s)
	default:
		sec.Session, err = selinuxfs.Exec(host)
		if err == nil && sec.Session == "" {
			err = fmt.Errorf("the session has no security context yet: `pam_selinux.so open` must stand before this line in the PAM stack (or use_default_context, use_current_context)")
		}
	}
	if err != nil {
		sec.Problem = err.Error()
	}
	return sec
}

// otherModule completes what a module without files of default contexts says.
func otherModule(from ContextFrom, sec plan.Security, err error) plan.Security {
	switch {
	case err != nil:
		sec.Problem, sec.Enforcing = err.Error(), true // for all that is known
	case from == DefaultContext && sec.Session != "":
		sec.Problem = fmt.Sprintf("use_default_context is for SELinux, and %s has no default contexts: take it out of the PAM line", sec.Module)
	}
	return sec
}

// booleans are the names that distributions give the boolean which lets login
// programs polyinstantiate.
var booleans = []string{"allow_polyinstantiation", "polyinstantiation_enabled"}

// DeniedHint is the way out of what was denied to the thread who, which is this
// worker's for what it does itself: empty where no security module can have denied it.
func DeniedHint(who lsm.Thread) string {
	if selinuxfs.Active() {
		if selinuxfs.Enforcing() {
			return deniedBySELinux()
		}
		return ""
	}
	return deniedByAnother(who)
}

func deniedByAnother(who lsm.Thread) string {
	if label, active, _ := who.Smack(); active {
		return fmt.Sprintf("Smack is active, and this program has the label %q: what it may not do is in the kernel's log; where smackfs's onlycap names labels, this one must be among them", label)
	}
	profile, _, err := who.AppArmor()
	switch {
	case err != nil:
		return "AppArmor confines this program by a profile that does not even let it ask which: " + deniedByAppArmor
	case profile.Enforced():
		return fmt.Sprintf("AppArmor confines this program by the profile %q: %s", profile.Name, deniedByAppArmor)
	case profile.Confined() && profile.Mode == "complain":
		// a name that leads nowhere is denied in each mode, and before a rule is looked for
		return fmt.Sprintf("AppArmor confines this program by the profile %q in complain mode, which denies detached mounts all the same: it needs flags=(attach_disconnected, complain)", profile.Name)
	}
	return ""
}

const deniedByAppArmor = `it needs the rules in dist/apparmor and flags=(attach_disconnected); what was denied is in the kernel's log (apparmor="DENIED")`

// deniedBySELinux names the boolean that is off, or, where this program may not
// read it, both it and the label.
func deniedBySELinux() string {
	for _, name := range booleans {
		if on, known := selinuxfs.Boolean(name); known && !on {
			return fmt.Sprintf("SELinux is enforcing and its boolean %s is off: setsebool -P %s on", name, shellword.Quote(name))
		}
	}
	return "SELinux is enforcing: it wants the boolean allow_polyinstantiation (polyinstantiation_enabled) on; " + WantedLabels + "; `polyinst check --pam` names what has the wrong label"
}

// WantedLabels is what the policies demand of instance parents.
const WantedLabels = "it wants the type tmp_t on instance parents (semanage fcontext -a -t tmp_t '/var/lib/polyinst/[^/]+'; restorecon -F /var/lib/polyinst/*) or the policy module in dist/selinux"

// label finds out what the rule's instance is to be labelled, and returns the
// SELinux contexts that name it: the canonical one first.
func label(scene *Scene, rule plan.Rule, m plan.Machine) []string {
	switch m.Security.Module {
	case plan.SELinux:
		return selinuxLabel(scene, rule, m)
	case plan.Smack:
		if err := smackLabel(scene, rule, m); err != nil {
			scene.note(err)
			scene.Facts.LabelProblem = err.Error()
		}
	}
	return nil
}

// smackLabel is the session's label where that names the instance, else the
// polydir's. Of a polydir that is made it is seen when that is there.
func smackLabel(scene *Scene, rule plan.Rule, m plan.Machine) error {
	if plan.ByContext(rule, m) {
		scene.Facts.Label = m.Security.Session
		return nil
	}
	if !scene.Polydir.Dir.IsOpen() {
		return nil
	}
	var err error
	scene.Facts.Label, scene.Facts.Transmute, err = SmackLabel(scene.Polydir.Dir)
	return err
}

// SmackLabel is what Smack knows of a directory: its label, and whether what is
// made in it gets that.
func SmackLabel(dir dirfd.Dir) (label string, transmute bool, err error) {
	if label, err = dir.Xattr(lsm.XattrSmack); err != nil {
		return "", false, err
	}
	t, err := dir.Xattr(lsm.XattrSmackTransmute)
	return label, t == lsm.SmackTransmutes, err
}

func selinuxLabel(scene *Scene, rule plan.Rule, m plan.Machine) []string {
	polydir, err := polydirLabel(scene, rule)
	if err != nil {
		scene.note(err)
		scene.Facts.LabelProblem = err.Error()
		return nil
	}
	var contexts []string
	if scene.Facts.Label = polydir; plan.ByContext(rule, m) && m.Security.Problem == "" {
		contexts, err = memberContexts(rule.Config.Method, m.Security.Session, polydir)
		if err == nil {
			scene.Facts.Label = contexts[0]
		}
	}
	if err != nil {
		scene.note(err)
		scene.Facts.LabelProblem = err.Error()
		return nil
	}
	return contexts
}

// labelSkel finds out how what a new instance gets of /etc/skel is to be labelled. Where
// the policy's files may not be read, the kernel chooses.
func labelSkel(scene *Scene, rule plan.Rule, m plan.Machine) {
	f := &scene.Facts
	if !rule.Config.Skel || f.SkelProblem != "" || m.Security.Module != plan.SELinux || f.Label == "" || f.Instance.Exists && !f.Unfinished {
		return
	}
	var err error
	if f.SkelLabel, err = skelLabel(rule.Path, f.Label); err != nil && !errors.Is(err, fs.ErrPermission) {
		scene.note(err)
		f.SkelProblem = err.Error()
	}
}

// skelLabel is what the policy's files say of files in the polydir, of the SELinux user
// and at the level of the instance: what its user makes there is labelled so, and
// neither a login program's own level nor the type of a home itself is right for it.
func skelLabel(polydir, instance string) (string, error) {
	l, err := labelOf(polydir+"/file", selinux.RegularFile)
	if err != nil || l == "" {
		return "", err
	}
	file, err := selinux.Parse(l)
	if err != nil {
		return "", err
	}
	dir, err := selinux.Parse(instance)
	if err != nil {
		return "", err
	}
	file.User = dir.User
	low, _, _ := strings.Cut(dir.Range, "-")
	return file.WithRange(low).String(), nil
}

// polydirLabel is the label of the polydir, or the one that it will have.
func polydirLabel(scene *Scene, rule plan.Rule) (string, error) {
	if scene.Polydir.Missing {
		l, err := defaultLabel(rule.Path)
		if err != nil {
			return "", err
		}
		if l == "" { // as the kernel would: after the directory that it is made in
			return scene.Polydir.Parent.Xattr(selinuxfs.XattrLabel)
		}
		scene.Facts.CreateLabel = l
		return l, nil
	}
	if !scene.Polydir.Dir.IsOpen() {
		return "", nil // a problem of the polydir's, and told as such
	}
	raw, err := scene.Polydir.Dir.Xattr(selinuxfs.XattrLabel)
	if err != nil {
		return "", err
	}
	return spelled(raw), nil
}

// spelled is a context as the kernel spells it, or as it is where the policy
// does not know it or does not let this domain ask.
func spelled(raw string) string {
	if canonical, err := selinuxfs.Canonical(raw); err == nil {
		return canonical
	}
	return raw
}

// memberContexts are the spellings of the instance's context: for `context` the
// policy computes it; for `level` it is the polydir's with the range of the
// session, which older software did not write as the kernel does.
func memberContexts(method config.Method, session, polydir string) ([]string, error) {
	if method == config.MethodContext {
		member, err := selinuxfs.Member(session, polydir)
		if err != nil {
			return nil, err
		}
		return []string{member}, nil
	}
	s, err := selinux.Parse(session)
	if err != nil {
		return nil, err
	}
	p, err := selinux.Parse(polydir)
	if err != nil {
		return nil, err
	}
	own := p.WithRange(s.Range).String()
	if canonical, err := selinuxfs.Canonical(own); err == nil {
		own = canonical
	} else if !errors.Is(err, fs.ErrPermission) {
		// in permissive mode an unknown context could be set, and mean nothing
		return nil, err
	}
	contexts := []string{own}
	if older := p.WithRange(selinux.Doubled(s.Range)).String(); older != own {
		contexts = append(contexts, older)
	}
	return contexts, nil
}

// compareLabels notes how an existing instance is labelled.
func compareLabels(scene *Scene, module plan.Module) {
	f := &scene.Facts
	if module == plan.Smack {
		var err error
		if f.InstanceLabel, _, err = SmackLabel(scene.Instance); err != nil {
			f.Instance.Problem = scene.problem(err)
		}
		return
	}
	raw, err := scene.Instance.Xattr(selinuxfs.XattrLabel)
	if err != nil {
		f.Instance.Problem = scene.problem(err)
		return
	}
	f.InstanceLabel = spelled(raw)
	want, err1 := selinux.Parse(f.Label)
	have, err2 := selinux.Parse(f.InstanceLabel)
	f.SameLevel = err1 == nil && err2 == nil && want.Range == have.Range
}
