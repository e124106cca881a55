package plan

import (
	"fmt"
	"strconv"

	"pam_polyinst/internal/core/config"
)

// shown plans what a method shows that makes no instance.
func shown(step *Step, rule Rule, s Subject, f Facts) *Refusal {
	switch rule.Config.Method {
	case config.MethodProc:
		proc(step, rule, f)
	case config.MethodHidden:
		step.Source = Nothing
		step.Attributes |= config.NoSuid | config.NoDev | config.NoExec | config.ReadOnly
	case config.MethodSame:
		step.Source = Itself
	case config.MethodBind:
		return bind(step, rule, s, f)
	}
	return nil
}

// proc plans a procfs of the session's own. The words of hidepid are those of
// proc(5); all kernels that are supported know them.
func proc(step *Step, rule Rule, f Facts) {
	step.Source = NewProc
	p := rule.Config.Proc
	step.Proc, step.SeesAll = []FSOption{{"hidepid", string(p.HidePID)}}, "root"
	if p.Group != "" {
		step.Proc, step.SeesAll = append(step.Proc, FSOption{"gid", strconv.FormatUint(uint64(f.ProcGroup), 10)}), p.Group
	}
}

// procText says what a procfs shows.
func (s Step) procText() string {
	others := "processes of other users are not seen"
	if s.Proc[0].Value == string(config.HideNoAccess) {
		others = "of other users' processes only the ids are seen"
	}
	return fmt.Sprintf("%s, except by members of the group %q", others, s.SeesAll)
}

// bind judges what is to be shown. Whoever can rename it on its way can show
// anything in its place: that is root, or the session's user, where what is there
// is their own.
func bind(step *Step, rule Rule, s Subject, f Facts) *Refusal {
	d := f.Source
	bad := func(format string, args ...any) *Refusal {
		return refuse(brought(d, s), rule.Path, "source %q: %s", rule.Source, fmt.Sprintf(format, args...)).blame("source")
	}
	if d.Problem != "" {
		return bad("%s", d.Problem)
	}
	if why := cannotRename(d, s, s.shuts); why != "" {
		return bad("%s", why)
	}
	switch {
	case !d.Exists:
		return bad("does not exist: make it")
	case len(d.Swaps) > 0 && d.Owner.UID != s.UID:
		return bad("owned by uid %d, in %q, where uid %d can put another one in its place: there it must be theirs", d.Owner.UID, d.Swaps[0].Dir, d.Swaps[0].UID)
	case f.SourceFile != f.File && (step.Create == nil || f.SourceFile):
		return refuse(FaultConfig, rule.Path, "source %q is %s, and the polydir %s: want two of a kind", rule.Source, kind(f.SourceFile), kind(f.File)).blame("source")
	}
	step.Source, step.From, step.FromID = Another, rule.Source, d.ID
	return nil
}

func kind(file bool) string {
	if file {
		return "a file"
	}
	return "a directory"
}
