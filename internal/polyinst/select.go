package polyinst

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"sort"
	"strings"

	"pam_polyinst/internal/config"
)

// Rule is a polydir that applies to a subject, with its variables expanded.
type Rule struct {
	Config *config.Polydir
	Path   string
	Parent string // the instance parent; empty for tmpfs
	Prefix string // what the instance's name begins with, behind the parent
}

// Verdict says of one polydir of the configuration whether it applies to a
// subject, and why.
type Verdict struct {
	Polydir *config.Polydir
	Path    string // expanded, or as written where it does not expand
	Applies bool
	Service bool // it does not apply only because of `services`
	Why     string
}

// Selection is what of a configuration applies to a subject.
type Selection struct {
	Rules    []Rule    // outer polydirs before those inside them
	Verdicts []Verdict // one per polydir, in the order of the files
}

// Exempt tells whether the user's lists, and not `services` alone, are the
// reason why nothing applies.
func (s Selection) Exempt() bool {
	if len(s.Rules) > 0 {
		return false
	}
	return slices.ContainsFunc(s.Verdicts, func(v Verdict) bool { return !v.Applies && !v.Service })
}

// Select finds the polydirs that apply to the subject. Two that apply to the
// same path are a fault of the configuration, and so is a template that does
// not expand.
func Select(c *config.Config, s Subject) (Selection, *Refusal) {
	var sel Selection
	for i := range c.Polydirs {
		p := &c.Polydirs[i]
		v, r := judge(p, s)
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

// judge tells whether the polydir applies. What of a list cannot be looked up
// refuses, unless another entry decides.
func judge(p *config.Polydir, s Subject) (Verdict, *Refusal) {
	v := Verdict{Polydir: p, Path: string(p.Path)}
	switch {
	case len(p.Services) > 0 && !slices.Contains(p.Services, s.Service):
		v.Service = true
		v.Why = fmt.Sprintf("service %q is not among services = %q", s.Service, p.Services)
	case len(p.Except) > 0:
		by, absent, unknown := Listed(p.Except, s)
		if unknown != "" {
			return v, refuse(FaultHost, v.Path, "except: %s", s.Problem)
		}
		v.Applies = by == ""
		v.Why = "the user is in no entry of except"
		if absent != "" {
			v.Why += fmt.Sprintf(" (there is no group %q)", absent)
		}
		if by != "" {
			v.Why = "except lists " + by
		}
	case len(p.Only) > 0:
		// a missing group must not take the isolation away from everybody
		by, absent, unknown := Listed(p.Only, s)
		if unknown != "" {
			return v, refuse(FaultHost, v.Path, "only: %s", s.Problem)
		}
		v.Applies = by != "" || absent != ""
		switch {
		case by != "":
			v.Why = "only lists " + by
		case absent != "":
			v.Why = fmt.Sprintf("only names the group %q, which does not exist: the rule applies to everybody", absent)
		default:
			v.Why = "the user is in no entry of only"
		}
	default:
		v.Applies = true
		v.Why = "it applies to everybody"
	}
	return v, nil
}

func resolve(p *config.Polydir, s Subject) (Rule, *Refusal) {
	path, err := p.Path.Expand(s.Vars())
	if err != nil {
		return Rule{}, refuse(FaultUser, string(p.Path), "%v", err)
	}
	// again, now that the variables stand for something: a home can be /bin
	if err := config.CheckPolydirPath(path); err != nil {
		return Rule{}, refuse(FaultUser, path, "%v", err)
	}
	rule := Rule{Config: p, Path: path}
	if p.Method == config.MethodTmpfs {
		return rule, nil
	}
	prefix, err := p.Prefix.Expand(s.Vars())
	if err != nil {
		return Rule{}, refuse(FaultUser, path, "instance_prefix: %v", err)
	}
	i := strings.LastIndexByte(prefix, '/')
	rule.Parent, rule.Prefix = prefix[:i], prefix[i+1:]
	if rule.Parent == "" {
		return Rule{}, refuse(FaultConfig, path, "instance_prefix %q: / cannot be the instance parent", prefix)
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

// Clash tells whether polydirs of the configuration would take each other's
// instances, if a user met them all.
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
			if a.Config.Method == config.MethodTmpfs || b.Config.Method == config.MethodTmpfs || a.Parent != b.Parent ||
				a.Config.Method == config.MethodTmpdir && b.Config.Method == config.MethodTmpdir {
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

// ByContext tells whether one of the rules names its instances after a security
// context.
func (s Selection) ByContext() bool {
	return slices.ContainsFunc(s.Rules, wantsContext)
}

// Digest stands for what the selection makes of a session: the same digest is
// the same view. Places in files and lists of users are not part of it.
func (s Selection) Digest(n config.Namespace, context string) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %s %t %t %t %q\n", n.Scope, n.Propagation, n.IPC, n.UTS, n.Network, context)
	for _, r := range s.Rules {
		p := *r.Config
		p.Pos, p.KeyPos, p.Except, p.Only, p.Services, p.Create = config.Position{}, nil, nil, nil, nil, nil
		fmt.Fprintf(h, "%q %q %q %+v\n", r.Path, r.Parent, r.Prefix, p)
	}
	return hex.EncodeToString(h.Sum(nil))
}
