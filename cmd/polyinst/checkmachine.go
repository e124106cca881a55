package main

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"pam_polyinst/internal/apply"
	"pam_polyinst/internal/config"
	"pam_polyinst/internal/dirfd"
	"pam_polyinst/internal/hook"
	"pam_polyinst/internal/mntns"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/pamstack"
	"pam_polyinst/internal/polyinst"
	"pam_polyinst/internal/record"
	"pam_polyinst/internal/selinuxfs"
)

const pamDir = "/etc/pam.d"

// vendorPAM are where libpam looks for what /etc/pam.d does not have.
var vendorPAM = []string{"/usr/lib/pam.d", "/usr/share/pam.d", "/usr/etc/pam.d"}

// nobodyYet stands for a user who has no instance: what he is refused for, the
// machine is at fault for. The name is none that an account can have.
var nobodyYet = polyinst.Subject{User: "+nobody-yet", Typed: "+nobody-yet", UID: 1<<32 - 2, GID: 1<<32 - 2}

// checkMachine says what on this machine is not as the configuration wants it,
// by the very decision of the module.
func checkMachine(c *config.Config, files observe.Files, conf string) ([]remark, error) {
	whole := config.Position{File: files.Main.Name}
	var out []remark
	if !mntns.KernelAtLeast(5, 14) {
		out = append(out, at(whole, pamstack.Error, "this kernel is %s: pam_polyinst needs Linux 5.14 or later", mntns.Kernel()))
	}
	if err := record.Possible(); err != nil {
		out = append(out, at(whole, pamstack.Error, "the records of sessions: %s", words(err)))
	}
	out = append(out, checkSELinux(whole)...)
	out = append(out, checkLists(c)...)
	out = append(out, checkProjects(c)...)
	m, err := observe.Machine()
	if err != nil {
		return nil, err
	}
	m.InitDir = observe.InitDir(conf)
	m.Security = observe.Security(observe.CurrentContext, nobodyYet)
	unconfined := m.Security.Module == polyinst.AppArmor && m.Security.Session == "" && m.Security.Problem == ""
	if unconfined {
		// this shell is; what the login programs are, it cannot tell
		m.Security.Session = "some-profile"
	}
	var steps []polyinst.Step
	for i := range c.Polydirs {
		p := &c.Polydirs[i]
		if unconfined && p.Method == config.MethodContext && p.WithoutContext == config.WithoutContextRefuse {
			out = append(out, at(keyOf(p, "method"), pamstack.Note, "polydir %q: method \"context\": sessions of programs that no AppArmor profile confines are refused (without_context)", p.Path))
		}
		if !varies(p) {
			step, found := checkFor(p, m, steps)
			out = append(out, found...)
			if step != nil {
				steps = append(steps, *step)
			}
			continue
		}
		out = append(out, checkForPeople(c, p, m, steps)...)
	}
	return out, nil
}

func varies(p *config.Polydir) bool {
	for _, v := range []string{"HOME", "USER", "UID"} {
		if p.Path.Uses(v) || p.Prefix.Uses(v) || p.Create != nil && (p.Create.Owner.Uses(v) || p.Create.Group.Uses(v)) {
			return true
		}
	}
	return false
}

// checkFor checks a polydir that is the same for everybody.
func checkFor(p *config.Polydir, m polyinst.Machine, before []polyinst.Step) (*polyinst.Step, []remark) {
	every := *p
	every.Except, every.Only, every.Services = nil, nil, nil
	s, r := polyinst.Select(&config.Config{Polydirs: []config.Polydir{every}}, nobodyYet)
	if r != nil {
		return nil, []remark{at(keyOf(p, "path"), pamstack.Error, "%v", r)}
	}
	rule := s.Rules[0]
	rule.Config = p
	return checkRule(rule, nobodyYet, m, before)
}

// peopleMax is for how many accounts a polydir of theirs is checked, and
// remarksMax how many of them are named.
const (
	peopleMax  = 1000
	remarksMax = 5
)

// checkForPeople checks a polydir that varies by user, for the accounts of
// people that the directory lists.
func checkForPeople(c *config.Config, p *config.Polydir, m polyinst.Machine, before []polyinst.Step) []remark {
	var out []remark
	people, faulty := 0, 0
	for _, name := range accounts() {
		who, r := observe.Account(name, "", c.Groups())
		if r != nil || who.UID < 1000 || who.UID == 65534 || absent(who.Home) {
			continue
		}
		if people++; people > peopleMax {
			break
		}
		for _, rule := range rulesOf(c, name) {
			if rule.Config == p {
				_, found := checkRule(rule, who, m, before)
				out = append(out, found...)
				if len(found) > 0 {
					faulty++
				}
			}
		}
	}
	if faulty < people {
		// the fault is theirs, or their directories'
		for i := range out {
			out[i].Level = pamstack.Warning
		}
	}
	out = differing(out)
	if n := len(out) - remarksMax; n > 0 {
		out = append(out[:remarksMax], at(p.Pos, pamstack.Warning, "polydir %q: and %s like these", p.Path, number(n, "remark")))
	}
	return out
}

// differing leaves out what was said of somebody else in the same words.
func differing(all []remark) []remark {
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(r remark) bool {
		_, what, ok := strings.Cut(r.Message, ": polydir ")
		if !ok || !strings.HasPrefix(r.Message, "for ") {
			what = r.Message
		}
		again := seen[what]
		seen[what] = true
		return again
	})
}

// checkRule decides as a login would. The step is nil where there is none.
func checkRule(rule polyinst.Rule, who polyinst.Subject, m polyinst.Machine, before []polyinst.Step) (*polyinst.Step, []remark) {
	if inNewInstance(rule, before) {
		return nil, nil
	}
	scene, r := observe.Rule(rule, who, m, dirfd.View{})
	var step polyinst.Step
	if r == nil {
		defer scene.Close()
		step, r = polyinst.Decide(rule, who, scene.Facts, m)
	}
	p := rule.Config
	if r == nil {
		return &step, append(checkInit(step, p), checkKeep(step, p)...)
	}
	message := r.Error()
	if who.User != nobodyYet.User {
		message = "for " + who.User + ": " + message
	}
	switch {
	case scene == nil:
	case scene.Facts.Parent.Exposed == "" && absent(rule.Parent):
		return nil, []remark{at(keyOf(p, "instance_prefix"), pamstack.Warning,
			"polydir %q: instance parent %q: does not exist: `polyinst prepare` makes it", rule.Path, rule.Parent)}
	case scene.Facts.Parent.Exposed != "" && !p.ParentInUnsafeDir:
		message += "; better: instance_prefix = \"" + betterPlace(rule) + "\""
		return nil, []remark{at(keyOf(p, "instance_prefix"), pamstack.Error, "%s", message)}
	case scene.Facts.Parent.Exposed != "" && absent(rule.Parent):
		return nil, []remark{at(keyOf(p, "instance_prefix"), pamstack.Warning,
			"polydir %q: instance parent %q: does not exist in %q, where users can create names: make it by hand, root's, with mode %04o",
			rule.Path, rule.Parent, scene.Facts.Parent.Exposed, p.ParentMode)}
	case strings.HasPrefix(r.Reason, "instance parent "):
		return nil, []remark{at(keyOf(p, "instance_prefix"), pamstack.Error, "%s", message)}
	case strings.HasPrefix(r.Reason, "method "):
		return nil, []remark{at(keyOf(p, "method"), pamstack.Error, "%s", message)}
	case strings.HasPrefix(r.Reason, "tmpfs "):
		return nil, []remark{at(keyOf(p, "tmpfs"), pamstack.Error, "%s", message)}
	case strings.HasPrefix(r.Reason, "quota: "):
		return nil, []remark{at(keyOf(p, "quota"), pamstack.Error, "%s", message)}
	}
	return nil, []remark{at(keyOf(p, "path"), pamstack.Error, "%s", message)}
}

// absent tells whether there is no such directory, nor perhaps the one around it.
func absent(path string) bool {
	_, err := os.Lstat(path)
	return path != "" && os.IsNotExist(err)
}

// keyOf is where a key stands, or the polydir where it has not got the key.
func keyOf(p *config.Polydir, key string) config.Position {
	if pos, ok := p.KeyPos[key]; ok {
		return pos
	}
	return p.Pos
}

// betterPlace is a parent below /var/lib/polyinst, named after the polydir.
func betterPlace(rule polyinst.Rule) string {
	name := strings.ReplaceAll(strings.Trim(rule.Path, "/"), "/", "-")
	if rule.Config.Path.Uses("HOME") {
		name = "home"
	}
	return "/var/lib/polyinst/" + name + "/"
}

// checkInit looks whether the script may be run.
func checkInit(step polyinst.Step, p *config.Polydir) []remark {
	if step.Init == nil {
		return nil
	}
	_, err := hook.Check(step.Init.Path)
	switch {
	case dirfd.IsNotExist(err):
		return []remark{at(keyOf(p, "init"), pamstack.Error, "polydir %q: init script %q: does not exist", step.Path, step.Init.Path)}
	case err != nil:
		what := strings.Replace(err.Error(), "trust "+step.Init.Path+": ", "", 1)
		return []remark{at(keyOf(p, "init"), pamstack.Error, "polydir %q: %s", step.Path, what)}
	}
	return nil
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
		if err == nil && !strings.HasPrefix(name, "#") && polyinst.IsProject(uint32(id)) {
			p := &c.Polydirs[i]
			out = append(out, at(keyOf(p, "quota"), pamstack.Warning, "polydir %q: quota: /etc/projid gives %q the project %d, which an instance may get: those from %d to %d are theirs",
				p.Path, name, id, polyinst.ProjectMin, polyinst.ProjectMax))
		}
	}
	return out
}

// checkKeep tells what of keep a session would not get now.
func checkKeep(step polyinst.Step, p *config.Polydir) []remark {
	var out []remark
	for _, l := range step.LeftOut {
		hint := ""
		if l.Why == polyinst.Absent && slices.Contains(apply.KeptByX, l.Name) {
			hint = ": `polyinst prepare` makes it"
		}
		out = append(out, at(keyOf(p, "keep"), pamstack.Warning, "polydir %q: keep: %q: %s%s", step.Path, l.Name, l.Why, hint))
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
			return []remark{at(whole, level, "SELinux's boolean %s is off, and login programs are denied what they need: setsebool -P %s on", name, name)}
		}
	}
	return nil
}

// checkLists looks up what the lists of users name.
func checkLists(c *config.Config) []remark {
	var out []remark
	for i := range c.Polydirs {
		p := &c.Polydirs[i]
		out = append(out, checkList(p, p.Except, "nobody is exempt by it")...)
		out = append(out, checkList(p, p.Only, "the polydir then applies to everybody")...)
	}
	out = append(out, checkList(nil, c.Namespace.Rescue, "nobody is rescued by it")...)
	return out
}

func checkList(p *config.Polydir, list config.UserList, without string) []remark {
	var out []remark
	say := func(pos config.Position, level pamstack.Level, format string, args ...any) {
		r := at(pos, level, format, args...)
		if p != nil {
			r.Message = "polydir " + strconv.Quote(string(p.Path)) + ": " + r.Message
		}
		out = append(out, r)
	}
	for _, u := range list {
		switch u.Kind {
		case config.GroupName:
			_, err := user.LookupGroup(u.Name)
			var unknown user.UnknownGroupError
			if errors.As(err, &unknown) {
				say(u.Pos, pamstack.Warning, "there is no group %q: %s%s", u.Name, without, meant(u.Name, groups(), ""))
			} else if err != nil {
				say(u.Pos, pamstack.Error, "the group %q cannot be looked up, and then every session is refused: %v", u.Name, err)
			}
		case config.UserName:
			var unknown user.UnknownUserError
			if _, err := user.Lookup(u.Name); errors.As(err, &unknown) {
				say(u.Pos, pamstack.Warning, "there is no account %q%s", u.Name, meant(u.Name, accounts(), ""))
			}
		}
	}
	return out
}

// readStacks reads the stacks of a directory, with what the vendor supplies if
// it is the machine's own.
func readStacks(dir string) (pamstack.Dir, error) {
	stacks := pamstack.Dir{}
	dirs := []string{dir}
	if filepath.Clean(dir) == pamDir {
		dirs = append(dirs, vendorPAM...)
	}
	for i, d := range dirs {
		names, err := os.ReadDir(d)
		if err != nil && i == 0 {
			return nil, err
		}
		for _, n := range names {
			path := filepath.Join(d, n.Name())
			if _, ok := stacks[n.Name()]; ok || !isService(n.Name()) {
				continue
			}
			data, err := os.ReadFile(path)
			if err != nil {
				continue // a directory, a dangling link: libpam has none either
			}
			stacks[n.Name()] = pamstack.File{Path: path, Data: data}
		}
	}
	return stacks, nil
}

// checkPAM judges the stacks of a directory.
func checkPAM(c *config.Config, dir string) ([]remark, error) {
	stacks, err := readStacks(dir)
	if err != nil {
		return nil, err
	}
	m := pamstack.Machine{Stacks: stacks, Config: c,
		Krb5:   readGlobs("/etc/krb5.conf", "/etc/krb5.conf.d/*"),
		Limits: readGlobs("/etc/security/limits.conf", "/etc/security/limits.d/*.conf")}
	var out []remark
	for _, f := range pamstack.Check(m) {
		col := 0
		if f.Pos.Line > 0 {
			col = 1
		}
		out = append(out, at(config.Position{File: f.Pos.File, Line: f.Pos.Line, Col: col}, f.Level, "%s", f.Message))
	}
	return out, nil
}

// isService leaves out what editors and packages leave behind.
func isService(name string) bool {
	for _, end := range []string{"~", ".dpkg-new", ".dpkg-old", ".dpkg-dist", ".rpmnew", ".rpmsave", ".rpmorig", ".ucf-dist", ".pacnew", ".pacsave"} {
		if strings.HasSuffix(name, end) {
			return false
		}
	}
	return !strings.HasPrefix(name, ".")
}

func readGlobs(patterns ...string) []pamstack.File {
	var out []pamstack.File
	for _, pattern := range patterns {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			if data, err := os.ReadFile(path); err == nil {
				out = append(out, pamstack.File{Path: path, Data: data})
			}
		}
	}
	return out
}
