package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"sort"
	"strings"

	"pam_polyinst/internal/core/config"
)

// Rule is a polydir that applies to a subject, with its variables expanded.
type Rule struct {
	Config *config.Polydir
	Path   string
	Source string // of method "bind"; else empty
	Parent string // the instance parent; empty where there is none
	Prefix string // what the instance's name begins with, behind the parent
	Keep   []KeepName
}

// Verdict says of one polydir of the configuration whether it applies to a
// subject, and why.
type Verdict struct {
	Polydir *config.Polydir
	Path    string // expanded, or as written where it does not expand
	Applies bool
	Service bool // it does not apply only because of `services`
	Why     string
	Gone    string // the group of `only` that does not exist, where the verdict hangs on it
}

// Selection is what of a configuration applies to a subject.
type Selection struct {
	Rules    []Rule    // outer polydirs before those inside them
	Verdicts []Verdict // one per polydir, in the order of the files
}

// Fresh reports whether an instance of the selection is a new one for each session,
// which is called after the machine and its boot.
func (s Selection) Fresh() bool {
	return slices.ContainsFunc(s.Rules, func(r Rule) bool { return r.Config.Fresh() })
}

// Exempt reports whether the user's lists, and not `services` alone, are the
// reason why nothing applies.
func (s Selection) Exempt() bool {
	if len(s.Rules) > 0 {
		return false
	}
	return slices.ContainsFunc(s.Verdicts, func(v Verdict) bool { return !v.Applies && !v.Service })
}

// Select finds the polydirs that apply to the subject. Two that apply to the
// same path are a fault of the configuration, and so is a template that does
// not expand. The rescue list of the PAM line stands beside that of the
// configuration.
func Select(c *config.Config, s Subject, rescue ...config.UserList) (Selection, *Refusal) {
	var sel Selection
	for i := range c.Polydirs {
		p := &c.Polydirs[i]
		v, r := judge(p, s, append(rescue, c.Namespace.Rescue))
		if r != nil {
			return sel, r
		}
		if v.Applies {
			rule, r := resolve(p, s)
			if r != nil {
				return sel, r
			}
			v.Path = rule.Path
			sel.Rules = append(sel.Rules, rule)
		}
		sel.Verdicts = append(sel.Verdicts, v)
	}
	if p := impliedShm(c); p != nil && len(sel.Rules) > 0 {
		sel.Rules = append(sel.Rules, Rule{Config: p, Path: shmDir})
		sel.Verdicts = append(sel.Verdicts, Verdict{Polydir: p, Path: shmDir, Applies: true,
			Why: "a private IPC namespace has its own shared memory"})
	}
	sort.SliceStable(sel.Rules, func(i, j int) bool {
		return strings.Count(sel.Rules[i].Path, "/") < strings.Count(sel.Rules[j].Path, "/")
	})
	if r := duplicate(sel.Rules); r != nil {
		return sel, r
	}
	if r := keepClash(sel.Rules); r != nil {
		return sel, r
	}
	return sel, clash(sel.Rules)
}

// shmDir is where shm_open(3) keeps POSIX shared memory (shm_overview(7)).
const shmDir = "/dev/shm"

// impliedShm is the polydir that comes with a private IPC namespace: shared
// memory by shm_open(3) is files in /dev/shm, and no namespace of the kernel's.
// A configuration that speaks of /dev/shm itself decides that for itself.
func impliedShm(c *config.Config) *config.Polydir {
	named := slices.ContainsFunc(c.Polydirs, func(p config.Polydir) bool { return p.Path == shmDir })
	if !c.Namespace.IPC || named {
		return nil
	}
	return &config.Polydir{Pos: c.Namespace.Set["ipc"], Path: shmDir, Method: config.MethodTmpfs,
		MountOptions: config.NoSuid | config.NoDev}
}

// judge reports whether the polydir applies. The lists are judged first: who is
// exempt is so by every service, and a rule that is about another service
// exempts nobody.
func judge(p *config.Polydir, s Subject, rescue []config.UserList) (Verdict, *Refusal) {
	v := Verdict{Polydir: p, Path: string(p.Path)}
	var r *Refusal
	v.Applies, v.Why, r = judgeLists(&v, s, rescue)
	if len(p.Services) == 0 || slices.Contains(p.Services, s.Service) {
		return v, r
	}
	other := fmt.Sprintf("service %q is not among services = %q", s.Service, p.Services)
	switch {
	case r != nil:
		// a lookup that fails exempts nobody, and refuses no session of a service
		// that the rule is not about (I-13)
		v.Service, v.Why = true, other+" ("+r.Reason+")"
	case v.Applies:
		v.Service, v.Why = true, other
	default:
		v.Why += ", and " + other
	}
	v.Applies, v.Gone = false, ""
	return v, nil
}

// judgeLists reports whether the user is among those whom the polydir is for,
// and why. What of a list cannot be looked up refuses, unless another entry
// decides.
func judgeLists(v *Verdict, s Subject, rescue []config.UserList) (applies bool, why string, r *Refusal) {
	p := v.Polydir
	switch {
	case len(p.Except) > 0:
		by, absent, unknown := Listed(p.Except, s)
		if unknown != "" {
			return false, "", refuse(FaultHost, string(p.Path), "except: %s", s.Problem).blame("except")
		}
		if by != "" {
			return false, "except lists " + by, nil
		}
		why = "the user is in no entry of except"
		if absent != "" {
			why += fmt.Sprintf(" (there is no group %q)", absent)
		}
		return true, why, nil
	case len(p.Only) > 0:
		by, absent, unknown := Listed(p.Only, s)
		switch {
		case unknown != "":
			return false, "", refuse(FaultHost, string(p.Path), "only: %s", s.Problem).blame("only")
		case by != "":
			return true, "only lists " + by, nil
		case absent != "":
			v.Gone = absent
			why := fmt.Sprintf("only names the group %q, which does not exist: the rule applies to everybody but root and the rescue list", absent)
			// a missing group must not take the isolation away from everybody, nor
			// give one to those who repair the machine
			return !repairs(s, rescue), why, nil
		}
		return false, "the user is in no entry of only", nil
	}
	return true, "it applies to everybody", nil
}

// repairs reports whether the subject is root or of a rescue list.
func repairs(s Subject, rescue []config.UserList) bool {
	return s.UID == 0 || slices.ContainsFunc(rescue, func(l config.UserList) bool {
		by, _, _ := Listed(l, s)
		return by != ""
	})
}

// Warnings are what is to be logged of a selection in each session.
func (s Selection) Warnings() []string {
	var out []string
	for _, v := range s.Verdicts {
		if v.Gone != "" {
			out = append(out, fmt.Sprintf("polydir %q: %s (%s:%d)", v.Path, v.Why, v.Polydir.Pos.File, v.Polydir.Pos.Line))
		}
	}
	return out
}

// Lost are the directories in which, by a mistake of the configuration, the
// subject may keep what is thrown away with the session.
func (s Selection) Lost() []string {
	var out []string
	for _, v := range s.Verdicts {
		if v.Gone != "" && v.Applies && v.Polydir.Ends() {
			out = append(out, v.Path)
		}
	}
	return out
}

func resolve(p *config.Polydir, s Subject) (Rule, *Refusal) {
	path, err := p.Path.Expand(s.Vars())
	if err != nil {
		return Rule{}, refuse(FaultUser, string(p.Path), "%v", err)
	}
	// again, now that the variables stand for something: a home can be /bin
	if err := config.CheckPolydirPath(path, p.Method); err != nil {
		return Rule{}, refuse(FaultUser, path, "%v", err)
	}
	rule := Rule{Config: p, Path: path}
	if rule.Keep, err = keepNames(p, path, s); err != nil {
		return Rule{}, refuse(FaultUser, path, "keep: %v", err).blame("keep")
	}
	if p.Method == config.MethodBind {
		if rule.Source, err = p.Source.Expand(s.Vars()); err != nil {
			return Rule{}, refuse(FaultUser, path, "source: %v", err).blame("source")
		}
	}
	if !p.InParent() {
		return rule, nil
	}
	prefix, err := p.Prefix.Expand(s.Vars())
	if err != nil {
		return Rule{}, refuse(FaultUser, path, "instance_prefix: %v", err).blame("instance_prefix")
	}
	i := strings.LastIndexByte(prefix, '/')
	rule.Parent, rule.Prefix = prefix[:i], prefix[i+1:]
	if rule.Parent == "" {
		return Rule{}, refuse(FaultConfig, path, "instance_prefix %q: / cannot be the instance parent", prefix).blame("instance_prefix")
	}
	return rule, nil
}

func duplicate(rules []Rule) *Refusal {
	seen := map[string]*config.Polydir{}
	for _, r := range rules {
		if first, ok := seen[r.Path]; ok {
			return refuse(FaultConfig, r.Path, "two polydirs apply: %s:%d and %s:%d",
				first.Pos.File, first.Pos.Line, r.Config.Pos.File, r.Config.Pos.Line)
		}
		seen[r.Path] = r.Config
	}
	return nil
}

// Clash is the refusal of a configuration whose polydirs would take each other's
// instances, if all of them applied to one user; nil: they would not.
func Clash(c *config.Config) *Refusal {
	var rules []Rule
	for i := range c.Polydirs {
		p := &c.Polydirs[i]
		prefix := string(p.Prefix)
		slash := strings.LastIndexByte(prefix, '/')
		if slash < 0 || slices.ContainsFunc(rules, func(r Rule) bool { return r.Path == string(p.Path) }) {
			continue // one path twice is for different users
		}
		rules = append(rules, Rule{Config: p, Path: string(p.Path), Parent: prefix[:slash], Prefix: prefix[slash+1:]})
	}
	return clash(rules)
}

// clash refuses prefixes by which two polydirs would take each other's instances:
// the same one, or one that begins with the other. Only tmpdir names cannot
// meet.
func clash(rules []Rule) *Refusal {
	for i, a := range rules {
		for _, b := range rules[:i] {
			if !a.Config.InParent() || !b.Config.InParent() || a.Parent != b.Parent ||
				a.Config.Fresh() && b.Config.Fresh() {
				continue
			}
			if strings.HasPrefix(a.Prefix, b.Prefix) || strings.HasPrefix(b.Prefix, a.Prefix) {
				return refuse(FaultConfig, a.Path, "instance_prefix %q and that of polydir %q, %q, lead to the same names: give each an instance parent of its own",
					a.Parent+"/"+a.Prefix, b.Path, b.Parent+"/"+b.Prefix)
			}
		}
	}
	return nil
}

// Parents are the instance parents of the rules.
func (s Selection) Parents() []string {
	var out []string
	for _, r := range s.Rules {
		if r.Parent != "" {
			out = append(out, r.Parent)
		}
	}
	return out
}

// ByContext reports whether one of the rules names its instances after a security
// context.
func (s Selection) ByContext() bool {
	return slices.ContainsFunc(s.Rules, wantsContext)
}

// Digest stands for what the selection makes of a session: the same digest is
// the same view. Places in files and lists of users are not part of it.
func (s Selection) Digest(n config.Namespace, context string) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %s %t %t %t %q %q\n", n.Scope, n.Propagation, n.IPC, n.UTS, n.Network, n.Netns, context)
	for _, r := range s.Rules {
		p := *r.Config
		p.Pos, p.KeyPos, p.Except, p.Only, p.Services, p.Create = config.Position{}, nil, nil, nil, nil, nil
		fmt.Fprintf(h, "%q %q %q %q %+v %+v\n", r.Path, r.Source, r.Parent, r.Prefix, r.Keep, p)
	}
	return hex.EncodeToString(h.Sum(nil))
}
