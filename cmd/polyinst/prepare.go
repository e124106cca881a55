package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/internal/apply"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/sessions/record"
)

// prepareOptions are what is to be prepared: all parents, or one instance.
type prepareOptions struct {
	conf, repair, aside string
	fromUID             uint32
	asJSON              bool
}

func prepareCommand() *cobra.Command {
	var o prepareOptions
	cmd := &cobra.Command{
		Use:   "prepare",
		Short: "make the instance parents of the whole configuration",
		Long: `Prepare makes the instance parents that are missing, root:root with the mode
that the configuration demands (0000), and the directories of X servers' sockets
that a keep names; those in homes a session makes. What exists it leaves as it
is, but for a quota, which it sets on the instances that are there.`,
		Example: `  polyinst prepare
  polyinst prepare --repair /var/lib/polyinst/tmp/alice
  polyinst prepare --repair /var/lib/polyinst/tmp/alice --from-uid 1007
  polyinst prepare --aside /var/lib/polyinst/tmp/alice`,
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needUID0("prepare"); err != nil {
				return err
			}
			if err := o.check(cmd.Flags().Changed("from-uid")); err != nil {
				return err
			}
			return o.run()
		},
	}
	confFlag(cmd, &o.conf)
	cmd.Flags().StringVar(&o.repair, "repair", "", "give this existing `INSTANCE` the owner and mode of its polydir")
	cmd.Flags().Uint32Var(&o.fromUID, "from-uid", 0, "with --repair: it is of the same person, who had this `UID`")
	cmd.Flags().StringVar(&o.aside, "aside", "", "keep this `INSTANCE` under another name, for nobody")
	jsonFlag(cmd, &o.asJSON)
	quietFlag(cmd)
	return cmd
}

func (o prepareOptions) check(fromUID bool) error {
	switch {
	case o.repair != "" && o.aside != "":
		return usageError{errors.New("--repair or --aside, not both")}
	case (o.repair != "" || o.aside != "") && o.asJSON:
		return usageError{errors.New("--repair and --aside have nothing to report as JSON")}
	case fromUID && o.repair == "":
		return usageError{errors.New("--from-uid: only with --repair")}
	case fromUID && o.fromUID == 0:
		return usageError{errors.New("--from-uid: not root's")}
	}
	return nil
}

func (o prepareOptions) run() error {
	all := o.repair == "" && o.aside == ""
	if all {
		// at boot, before anybody logs in, and whatever else is wrong
		settleAtBoot()
	}
	c, _, err := load(o.conf, true)
	switch { // shells complete the name of a directory with a slash
	case err == nil && o.repair != "":
		return repairInstance(c, strings.TrimRight(o.repair, "/"), o.fromUID)
	case err == nil && o.aside != "":
		return setAside(c, strings.TrimRight(o.aside, "/"))
	case err == nil:
		err = prepare(c, o.asJSON)
	}
	if all && o.conf == "" {
		noteRun("prepare", lastPrepareFile, ended(err))
	}
	return err
}

// prepared is the schema of prepare --json.
type prepared struct {
	Schema   int      `json:"schema"`
	Made     []string `json:"made"`
	Limited  []string `json:"limited"` // instances that got a project for their quota
	Problems []remark `json:"problems"`

	asJSON bool // it is printed at the end
}

func (p *prepared) made(path string) {
	p.Made = append(p.Made, path)
	if !p.asJSON {
		fmt.Fprintf(stdout, "made %s\n", plain(path))
	}
}

func (p *prepared) problem(pos config.Position, format string, args ...any) {
	r := at(pos, pamstack.Error, format, args...)
	p.Problems = append(p.Problems, r)
	if !p.asJSON {
		r.tell()
	}
}

func prepare(c *config.Config, asJSON bool) error {
	// the directory of the records: not every login program may make it
	store, err := record.Open()
	if err != nil {
		return err
	}
	store.Close()
	out := prepared{schema, []string{}, []string{}, []remark{}, asJSON}
	for _, p := range parents(c, true) {
		if m, ok := toBeMounted(p.path); ok && absent(p.path) {
			out.problem(keyOf(p.rule, "instance_prefix"), "instance parent %q: %v", p.path, m)
			continue
		}
		made, err := apply.PrepareParent(p.path, p.rule)
		switch {
		case dirfd.IsUsersMount(err):
			sayLeftOut(p.path, err.Error())
		case err != nil:
			out.problem(keyOf(p.rule, "instance_prefix"), "instance parent %q: %s", p.path, message(err))
		case made:
			out.made(p.path)
		}
	}
	out.kept(c)
	out.limited(c)
	if asJSON {
		if err := printJSON(out); err != nil {
			return err
		}
	}
	if len(out.Problems) > 0 {
		return errReported
	}
	return nil
}

// kept makes the directories of X servers that some `keep` names, where the
// polydir is the same for everybody. Other entries are their owners' to make:
// nobody can tell what they are to be.
func (p *prepared) kept(c *config.Config) {
	for i := range c.Polydirs {
		rule := &c.Polydirs[i]
		polydir, err := rule.Path.Expand(config.Vars{})
		if err != nil {
			continue
		}
		for _, name := range rule.Keep {
			if !slices.Contains(apply.KeptByX, name) {
				continue
			}
			made, err := apply.PrepareKept(polydir, name)
			switch {
			case err != nil:
				p.problem(keyOf(rule, "keep"), "polydir %q: keep: %q: %s", polydir, name, message(err))
			case made:
				p.made(polydir + "/" + name)
			}
		}
	}
}

// limited gives instances that were made before there was a quota their limits.
// A session does that, too, if there is not much in its instance.
func (p *prepared) limited(c *config.Config) {
	for _, parent := range parents(c, false) {
		if parent.rule.Quota == (config.Quota{}) || parent.rule.Fresh() {
			continue
		}
		err := apply.PrepareQuota(parent.path, parent.prefix, parent.rule.Quota, func(path string) {
			p.Limited = append(p.Limited, path)
			if !p.asJSON {
				fmt.Fprintf(stdout, "limited %s\n", plain(path))
			}
		})
		if why, ok := observe.IsUsersDoing(err); ok {
			sayLeftOut(parent.path, why)
		} else if err != nil {
			p.problem(keyOf(parent.rule, "quota"), "polydir %q: quota: instance parent %q: %s", parent.rule.Path, parent.path, message(err))
		}
	}
}

func message(err error) string {
	if dirfd.IsNotExist(err) {
		return "does not exist"
	}
	return printable(err.Error())
}
