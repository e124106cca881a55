package main

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/layout"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/core/shellword"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/lsm"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/kernel/selinuxfs"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/promise"
)

// nobodyYet stands for a user who has no instance: what they are refused for, the
// machine is at fault for. The name is none that an account can have.
var nobodyYet = plan.Subject{User: "+nobody-yet", Typed: "+nobody-yet", UID: 1<<32 - 2, GID: 1<<32 - 2}

// checkMachine says what on this machine is not as the configuration wants it,
// by the very decision of the module.
func checkMachine(c *config.Config, files observe.Files, conf string) ([]remark, error) {
	whole := config.Position{File: files.Main.Name}
	var out []remark
	if !mntns.KernelAtLeast(5, 14) {
		out = append(out, at(whole, pamstack.Error, "this kernel is %s: pam_polyinst needs Linux 5.14 or later", mntns.Kernel()))
	}
	if r := promise.Records(); r != nil {
		out = append(out, at(whole, pamstack.Error, "%v", r))
	}
	if n := len(c.Polydirs); c.Namespace.NoPolydirs && n > 0 {
		out = append(out, at(c.Namespace.Set["polydirs"], pamstack.Note, "namespace: polydirs = \"none\", but drop-ins have %s: without this line sessions are refused when these are lost", number(n, "polydir")))
	}
	if !variesByUser(c.Namespace.Netns) {
		out = append(out, checkNetwork(c.Namespace, nobodyYet)...)
	}
	out = append(out, checkSELinux(whole)...)
	out = append(out, checkProjects(c)...)
	m, err := promise.Machine(config.Args{Conf: conf}, observe.Security(lsm.Own(), observe.CurrentContext, nobodyYet))
	if err != nil {
		return nil, err
	}
	unconfined := m.Security.Module == plan.AppArmor && m.Security.Session == "" && m.Security.Problem == ""
	if unconfined {
		// this shell is; what the login programs are, it cannot tell
		m.Security.Session = "some-profile"
	}
	for i := range c.Polydirs {
		p := &c.Polydirs[i]
		if unconfined && p.Method == config.MethodContext && p.WithoutContext == config.WithoutContextRefuse {
			out = append(out, at(keyOf(p, "method"), pamstack.Note, "polydir %q: method \"context\": sessions of programs that no AppArmor profile confines are refused (without_context)", p.Path))
		}
		out = append(out, checkCreate(p)...)
	}
	everybody := checkForEverybody(c, m)
	out = append(out, everybody...)
	return append(out, checkForPeople(c, m, everybody)...), nil
}

// checkNetwork says why the network namespace that a user's sessions join is not
// there, or none to join.
func checkNetwork(n config.Namespace, who plan.Subject) []remark {
	ns, named, r := promise.Network(n, who)
	if named {
		ns.Close()
	}
	switch {
	case r == nil:
		return nil
	case variesByUser(n.Netns):
		return []remark{at(n.Set["network"], pamstack.Error, "for %s: namespace: %v", who.User, r)}
	}
	return []remark{at(n.Set["network"], pamstack.Error, "namespace: %v", r)}
}

func variesByUser(t config.Template) bool { return t.Uses("USER") || t.Uses("UID") }

// checkCreate warns of a polydir that is to be made where others can make its name
// first, and so keep its user out.
func checkCreate(p *config.Polydir) []remark {
	if p.Create == nil || p.Path.Uses("HOME") {
		return nil
	}
	path, err := p.Path.Expand(nobodyYet.Vars())
	if err != nil {
		return nil // said elsewhere
	}
	way, _ := dirfd.Walk(path, nil) // with an error, as far as it came
	way.Close()
	if way.Exposure.Dir == "" {
		return nil
	}
	return []remark{at(keyOf(p, "create"), pamstack.Warning,
		"polydir %q: create: others can make names in %q (%s), and keep a user out by one that is theirs: better is a directory in which only root can",
		p.Path, way.Exposure.Dir, way.Exposure.Reason)}
}

// varies reports whether a polydir is another one for each user.
func varies(p *config.Polydir) bool {
	return p.Path.Varies() || p.Prefix.Varies() || p.Source.Varies() || p.KeepsOwn() ||
		p.Create != nil && (p.Create.Owner.Varies() || p.Create.Group.Varies())
}

// usersDoing reports whether what refuses a session may be something that its user has
// brought about, in what the refusal is about: then it is no fault of the machine's.
func usersDoing(f plan.Facts, r *plan.Refusal) bool {
	polydir, parent, source := len(f.Polydir.Swaps) > 0, len(f.Parent.Swaps) > 0, len(f.Source.Swaps) > 0
	switch r.Key {
	case "source": // of the configuration's is that the two are of different kinds
		return source || polydir && r.Fault == plan.FaultConfig
	case "instance_prefix": // of a user's is the instance, which is like the polydir
		return parent || polydir && r.Fault == plan.FaultUser
	case "skel", "init", "quota", "tmpfs":
		return false
	}
	return polydir || parent
}

// absent reports whether there is no such directory, nor perhaps the one above
// it. What a user has mounted is there, and asked nothing.
func absent(path string) bool {
	if path == "" {
		return false
	}
	way, err := dirfd.WalkFile(path)
	way.Close()
	return err == nil && way.Missing || dirfd.IsNotExist(err)
}

// keyOf is where a key stands, or the polydir where it has not got the key.
func keyOf(p *config.Polydir, key string) config.Position {
	if pos, ok := p.KeyPos[key]; ok {
		return pos
	}
	return p.Pos
}

// checkProjects tells of projects in /etc/projid (projid(5)) that instances may
// get.
func checkProjects(c *config.Config) []remark {
	i := slices.IndexFunc(c.Polydirs, func(p config.Polydir) bool { return p.Quota != config.Quota{} })
	if i < 0 {
		return nil
	}
	var out []remark
	raw, _ := os.ReadFile("/etc/projid")
	for line := range strings.Lines(string(raw)) {
		name, number, _ := strings.Cut(strings.TrimSpace(line), ":")
		id, err := strconv.ParseUint(number, 10, 32)
		if err == nil && !strings.HasPrefix(name, "#") && layout.IsProject(uint32(id)) {
			p := &c.Polydirs[i]
			out = append(out, at(keyOf(p, "quota"), pamstack.Warning, "polydir %q: quota: /etc/projid gives %q the project %d, which an instance may get: those from %d to %d are theirs",
				p.Path, name, id, layout.ProjectMin, layout.ProjectMax))
		}
	}
	return out
}

// checkSELinux looks for the boolean that lets login programs do what we do.
func checkSELinux(whole config.Position) []remark {
	if !selinuxfs.Active() {
		return nil
	}
	level := pamstack.Warning
	if selinuxfs.Enforcing() {
		level = pamstack.Error
	}
	for _, name := range []string{"allow_polyinstantiation", "polyinstantiation_enabled"} {
		if on, known := selinuxfs.Boolean(name); known && !on {
			return []remark{at(whole, level, "SELinux's boolean %s is off, and login programs are denied what they need: setsebool -P %s on", name, shellword.Quote(name))}
		}
	}
	return nil
}

// remarks are the findings in the words of check.
func remarks(found []pamstack.Finding) []remark {
	var out []remark
	for _, f := range found {
		col := 0
		if f.Pos.Line > 0 {
			col = 1
		}
		r := at(config.Position{File: f.Pos.File, Line: f.Pos.Line, Col: col}, f.Level, "%s", f.Message)
		r.service, r.passed = f.Service, f.Passed
		out = append(out, r)
	}
	return out
}
