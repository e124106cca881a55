package main

import (
	"fmt"
	"strings"

	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/promise"
)

// The values of an explanation's outcome.
const (
	outcomeNew     = "new"     // a namespace is made, as the plan says
	outcomeStays   = "stays"   // the session stays in the view that it is in
	outcomeHost    = "host"    // it goes back to the host's view
	outcomeSame    = "same"    // it is in the view that it would get
	outcomeRefused = "refused" // there is no session
	outcomeRescued = "rescued" // there is one, without private directories
)

// explanation is what a session would get. Its fields are the schema of explain
// --json.
type explanation struct {
	Schema   int           `json:"schema"`
	User     string        `json:"user"`
	UID      uint32        `json:"uid"`
	Service  string        `json:"service"`
	PAM      *pamLine      `json:"pam"`  // null: the stack has no line of ours
	From     *outerSession `json:"from"` // null: not nested
	LastGood string        `json:"last_good"`
	Polydirs []ruleVerdict `json:"polydirs"`
	Outcome  string        `json:"outcome"`
	Refusals []string      `json:"refusals"`
	Plan     []planStep    `json:"plan"`
	Unseen   []string      `json:"unseen"` // polydirs that the session alone can look at
	Text     string        `json:"text"`   // the whole plan as the module logs it

	*promise.Promise `json:"-"`

	theirs  []string        // one for each of Unseen: what the session's user mounted
	loaded  pamstack.Loaded // what libpam makes of the stack
	instead string          // the usual service, whose sessions do not go through our line; empty: it is that one
	away    bool            // the host is not in the view of process 1, to which alone rescue admits
	plan    plan.Plan
	round   rehearsal
}

// pamLine is our line in the stack of the service.
type pamLine struct {
	File      string        `json:"file"` // empty: the arguments are those of --arg
	Line      int           `json:"line"`
	Control   string        `json:"control"`
	Arguments []argumentSay `json:"arguments"`
}

// argumentSay is an argument and what it does here.
type argumentSay struct {
	Argument string `json:"argument"`
	Meaning  string `json:"meaning"`
}

// outerSession is the session in which another one is opened.
type outerSession struct {
	User     string   `json:"user"`
	UID      uint32   `json:"uid"`
	Service  string   `json:"service"`
	Polydirs []string `json:"polydirs"` // that are covered in it
	Nested   string   `json:"nested"`
	Base     string   `json:"base"` // host or session: what the nested one is built from
	// Directories say what becomes of a working directory below each polydir
	Directories []directoryFate `json:"directories"`
}

// directoryFate is what becomes of a working directory below a polydir of the
// outer session.
type directoryFate struct {
	Polydir string  `json:"polydir"`
	Fate    string  `json:"fate"`
	Path    *string `json:"path"` // with "host": what the polydir's directory is called there
}

// The values of a directory's fate.
const (
	fateStays = "stays" // in the session it is the same directory by the same name
	fateHost  = "host"  // ... by its path in the host's view
	fateEmpty = "empty" // the session stands in an empty directory
)

type ruleVerdict struct {
	Path    string `json:"path"`
	Applies bool   `json:"applies"`
	Why     string `json:"why"`
	File    string `json:"file"`
	Line    int    `json:"line"`
}

type planStep struct {
	Path        string            `json:"path"`
	Method      string            `json:"method"`
	Source      string            `json:"source"`
	Instance    *string           `json:"instance"` // null: it has no path in the host's view
	MakePolydir bool              `json:"make_polydir"`
	MakeParent  bool              `json:"make_parent"`
	Owner       *uint32           `json:"owner"` // of what is made; null: it exists
	Group       *uint32           `json:"group"`
	Mode        *string           `json:"mode"`
	Options     []string          `json:"options"`
	Tmpfs       map[string]string `json:"tmpfs"`
	Label       string            `json:"label"`
	Skel        bool              `json:"skel"`
	Init        string            `json:"init"`
	Text        string            `json:"text"` // the step as the module logs it
}

// instancePath is the path in the host's view of what a step shows; empty where it
// has none.
func instancePath(s plan.Step) string {
	if s.Source.Instance() || s.Source == plan.Another {
		return s.Shows()
	}
	return ""
}

func toStep(s plan.Step) planStep {
	out := planStep{Path: s.Path, Method: string(s.Method), Source: string(s.Source), MakePolydir: s.Create != nil,
		MakeParent: s.MakeParent, Options: []string{}, Tmpfs: map[string]string{}, Label: s.Label, Skel: s.Skel, Text: s.String()}
	if instance := instancePath(s); instance != "" {
		out.Instance = &instance
	}
	if s.Source == plan.NewInstance || s.Source == plan.NewTmpfs {
		mode := fmt.Sprintf("%04o", s.Owner.Mode)
		out.Owner, out.Group, out.Mode = &s.Owner.UID, &s.Owner.GID, &mode
	}
	if s.Attributes != 0 {
		out.Options = strings.Split(s.Attributes.String(), ",")
	}
	for _, t := range s.Tmpfs {
		out.Tmpfs[t.Key] = t.Value
	}
	if s.Init != nil {
		out.Init = s.Init.Path
	}
	return out
}
