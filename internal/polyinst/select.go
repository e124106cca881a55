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
		v := judge(p, s)
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
	sort.SliceStable(sel.Rules, func(i, j int) bool {
		return strings.Count(sel.Rules[i].Path, "/") < strings.Count(sel.Rules[j].Path, "/")
	})
	return sel, duplicate(sel.Rules)
}

func judge(p *config.Polydir, s Subject) Verdict {
	v := Verdict{Polydir: p, Path: string(p.Path)}
	switch {
	case len(p.Services) > 0 && !slices.Contains(p.Services, s.Service):
		v.Service = true
		v.Why = fmt.Sprintf("service %q is not among services = %q", s.Service, p.Services)
	case len(p.Except) > 0:
		by, absent := Listed(p.Except, s)
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
		by, absent := Listed(p.Only, s)
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
	return v
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

// ByContext tells whether one of the rules names its instances after a security
// context.
func (s Selection) ByContext() bool {
	return slices.ContainsFunc(s.Rules, func(r Rule) bool {
		return r.Config.Method == config.MethodLevel || r.Config.Method == config.MethodContext
	})
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
