package main

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/sessions/record"
)

// reportOptions say what the report is to hold against the machine.
type reportOptions struct {
	conf                      string
	require, services, exempt []string
	strict, asJSON            bool
}

func reportCommand() *cobra.Command {
	var o reportOptions
	cmd := &cobra.Command{
		Use:   "report",
		Short: "evidence for an audit: what is isolated, for whom, since when",
		Long: `Report asks what check, explain and list ask, and puts it together: services
that are covered, who gets which directories, the state of module, configuration
and parents, and what the kernel says of live sessions. It exits with 1 where
something speaks against the isolation, and says what.`,
		Example: `  polyinst report
  polyinst report --json >evidence.json
  polyinst report --require /tmp --service sshd --service login
  polyinst report --require /tmp --exempt backup`,
		Args: none,
		RunE: func(*cobra.Command, []string) error {
			if err := needUID0("report"); err != nil {
				return err
			}
			for i, dir := range o.require {
				if err := config.CheckRequired(dir); err != nil {
					return usageError{fmt.Errorf("--require: %w", err)}
				}
				o.require[i] = path.Clean(dir)
			}
			for _, name := range o.services {
				if err := serviceName("service", name); err != nil {
					return err
				}
			}
			return report(o)
		},
	}
	confFlag(cmd, &o.conf)
	cmd.Flags().StringArrayVar(&o.require, "require", nil, "people must have a `DIR` of their own; can be repeated")
	cmd.Flags().StringArrayVar(&o.services, "service", nil, "judge this PAM `SERVICE`, not all; can be repeated")
	cmd.Flags().StringArrayVar(&o.exempt, "exempt", nil, "this `USER` may see what is public; can be repeated")
	cmd.Flags().BoolVar(&o.strict, "strict", false, "a warning of check speaks against it, too")
	jsonFlag(cmd, &o.asJSON)
	return cmd
}

// against notes what speaks against the isolation.
func (e *evidence) against(format string, args ...any) {
	if reason := fmt.Sprintf(format, args...); !slices.Contains(e.Reasons, reason) {
		e.Reasons = append(e.Reasons, reason)
	}
}

func report(o reportOptions) error {
	e := &evidence{Schema: schema, Time: moment(time.Now().Unix()), Kernel: mntns.Kernel(), Version: version, Controls: controls,
		Judged: []string{}, Reasons: []string{}, Services: []serviceStands{}, Polydirs: []polydirStands{}, Parents: []parentStands{}, Accounts: []accountStands{},
		Sessions: []sessionStands{}, Remarks: []remark{}, Configuration: configEvidence{Files: []fileEvidence{}}, options: o}
	e.Host, _ = os.Hostname()
	if err := e.gather(); err != nil {
		return err
	}
	if e.Isolated = len(e.Reasons) == 0; !e.Isolated {
		e.Since = nil
	}
	if !o.asJSON {
		e.print()
	} else if err := printJSON(e); err != nil {
		return err
	}
	if !e.Isolated {
		return errReported
	}
	return nil
}

func moment(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }

// gather asks everything. An error says that the machine cannot be looked at; what
// is wrong with the isolation is a reason.
func (e *evidence) gather() error {
	conf := e.options.conf
	if conf != "" {
		var err error
		if conf, err = filepath.Abs(conf); err != nil {
			return err
		}
	}
	stacks, err := readStacks(pamDir)
	if err != nil {
		return err
	}
	x, err := examine(conf, checkOptions{pam: pamDir})
	if x.config == nil && err != nil {
		e.against("%s", words(err))
	} else if err != nil {
		return err
	}
	e.Remarks = append(e.Remarks, x.remarks...)
	if err == nil {
		e.configuration(x.files)
	}
	e.module(stacks)
	asked := e.services(stacks)
	for _, r := range x.remarks {
		wrong := r.Level == pamstack.Error || r.passed || e.options.strict && r.Level == pamstack.Warning
		if wrong && (r.service == "" || len(e.options.services) == 0 || slices.Contains(e.options.services, r.service)) {
			e.against("%s", r)
		}
	}
	if x.config == nil {
		return nil
	}
	if len(x.config.Polydirs) == 0 {
		e.against("%s: no polydir is configured", x.files.Main.Name)
	}
	e.parents(x.config)
	who := explainer{explainOptions{conf: conf}, stacks, remembering(loadProblem)}
	if err := e.accounts(who, asked, x.config); err != nil {
		return err
	}
	e.polydirs(x.config)
	return e.sessions(who)
}

// sessions are the live ones: what the kernel says of their mounts, and whether a
// session that is opened now would be the same.
func (e *evidence) sessions(who explainer) error {
	if !record.Any() {
		return nil
	}
	all, err := namespaces()
	if err != nil {
		e.against("%s", words(err))
		return nil
	}
	for _, n := range all {
		s := sessionStands{namespaceJSON: toJSON(n)}
		x := &explanation{}
		err := who.session(x, n.User, n.Service, nil)
		if err == nil && x.Selected && !x.Selection.ByContext() && !x.Security().Labels() {
			current := x.Digest == n.Digest
			s.Current = &current
		}
		x.close()
		e.Sessions = append(e.Sessions, s)
		for _, p := range s.Polydirs {
			if !p.Covered {
				e.against("a session of %s by %s since %s: %s is not covered any more", plain(s.User), plain(s.Service), s.Since, plain(p.Path))
			}
		}
	}
	return nil
}
