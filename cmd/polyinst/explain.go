package main

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"pam_polyinst/internal/config"
	"pam_polyinst/internal/dirfd"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/polyinst"
)

func explainCommand() *cobra.Command {
	var conf, service, context string
	cmd := &cobra.Command{
		Use:   "explain USER",
		Short: "say what a session of the user would get, and why",
		Long: `Explain decides with the functions of the module what a session would get, from
the configuration and the machine as they are now. It makes and mounts nothing.`,
		Example: `  polyinst explain alice
  polyinst explain alice --service sshd`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("which user? polyinst explain USER")}
			}
			return nil
		},
		ValidArgsFunction: users,
		RunE: func(_ *cobra.Command, args []string) error {
			c, _, err := load(conf, true)
			if err != nil {
				return err
			}
			return explain(c, conf, args[0], service, context)
		},
	}
	confFlag(cmd, &conf)
	cmd.Flags().StringVar(&service, "service", "sshd", "the PAM `SERVICE` of the session")
	cmd.Flags().StringVar(&context, "context", "", "the session's security `CONTEXT` (without it, that of this shell)")
	return cmd
}

func explain(c *config.Config, conf, name, service, context string) error {
	who, r := observe.Account(name, service, c.Groups())
	if r != nil {
		return r
	}
	selection, r := polyinst.Select(c, who)
	if r != nil {
		return r
	}
	fmt.Printf("%s (uid %d) by %s:\n", who.User, who.UID, service)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, v := range selection.Verdicts {
		applies := "no"
		if v.Applies {
			applies = "yes"
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\t%s:%d\n", v.Path, applies, v.Why, v.Polydir.Pos.File, v.Polydir.Pos.Line)
	}
	_ = table.Flush()
	if len(selection.Rules) == 0 {
		fmt.Println("nothing applies: the session stays in the view that it is in")
		return nil
	}
	m, err := observe.Machine()
	if err != nil {
		return err
	}
	m.InitDir = observe.InitDir(conf)
	m.Security = observe.Security(observe.CurrentContext, who)
	if context != "" {
		m.Security.Session, m.Security.Problem = context, ""
	}
	return explainPlan(c, who, selection, m)
}

func explainPlan(c *config.Config, who polyinst.Subject, selection polyinst.Selection, m polyinst.Machine) error {
	plan := polyinst.Plan{Subject: who, Namespace: c.Namespace}
	refused := false
	view := dirfd.View{}
	for _, rule := range selection.Rules {
		scene, r := observe.Rule(rule, who, m, view)
		var step polyinst.Step
		if r == nil {
			defer scene.Close()
			step, r = polyinst.Decide(rule, who, scene.Facts, m)
		}
		switch {
		case r == nil:
			plan.Steps = append(plan.Steps, step)
			if step.Source == polyinst.ExistingInstance {
				view[scene.Polydir.Stat.ID] = scene.Instance
			}
		case inNewInstance(rule, plan.Steps):
			fmt.Printf("polydir %q lies in an instance that is not there yet: what it finds is seen at the login\n", rule.Path)
		default:
			refused = true
			fmt.Println("REFUSED:", r)
		}
	}
	if refused {
		return errReported
	}
	fmt.Print(plan)
	return nil
}

// inNewInstance tells whether the polydir lies below one whose instance would
// only be made.
func inNewInstance(rule polyinst.Rule, steps []polyinst.Step) bool {
	for _, s := range steps {
		if s.Source != polyinst.ExistingInstance && strings.HasPrefix(rule.Path, s.Path+"/") {
			return true
		}
	}
	return false
}
