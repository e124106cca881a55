package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"pam_polyinst/internal/apply"
	"pam_polyinst/internal/config"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/pamstack"
	"pam_polyinst/internal/polyinst"
)

// checkOptions say what check looks at besides the configuration's own words.
type checkOptions struct {
	accept     bool
	configOnly bool
	asJSON     bool
	pam        string // a directory of PAM stacks; empty: none
}

func checkCommand() *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "every problem of the configuration, machine and PAM stacks",
		Long: `Check reads the configuration as the module does, and prints every problem as
FILE:LINE:COL: message on standard error; then, as root, what on this machine
would keep a session from opening. With FILE, that is the main file; drop-ins
are those in namespace.d beside it. Warnings and notes do not count as problems.`,
		Example: `  polyinst check
  polyinst check --pam        and the PAM stacks of /etc/pam.d
  polyinst check ./namespace.conf --config-only
  polyinst check --accept     keep it for config_error=last-good`,
		Args: atMostOne,
		RunE: func(_ *cobra.Command, args []string) error {
			conf := ""
			if len(args) == 1 {
				var err error
				if conf, err = filepath.Abs(args[0]); err != nil {
					return err
				}
			}
			return check(conf, o)
		},
	}
	cmd.Flags().BoolVar(&o.accept, "accept", false, "keep this configuration as the last good one")
	cmd.Flags().BoolVar(&o.configOnly, "config-only", false, "look at the files alone, not at the machine")
	cmd.Flags().StringVar(&o.pam, "pam", "", "also check the PAM stacks in `DIR`")
	cmd.Flags().Lookup("pam").NoOptDefVal = pamDir
	jsonFlag(cmd, &o.asJSON)
	return cmd
}

// remark is one thing that check has to say; its fields are the schema of
// check --json.
type remark struct {
	File    string         `json:"file"`
	Line    int            `json:"line"` // 0: the file as a whole
	Column  int            `json:"column"`
	Level   pamstack.Level `json:"level"`
	Message string         `json:"message"`
}

func (r remark) String() string {
	level := ""
	if r.Level != pamstack.Error {
		level = string(r.Level) + ": "
	}
	return config.Position{File: r.File, Line: r.Line, Col: r.Column}.String() + ": " + level + r.Message
}

func at(p config.Position, level pamstack.Level, format string, args ...any) remark {
	return remark{p.File, p.Line, p.Col, level, fmt.Sprintf(format, args...)}
}

func check(conf string, o checkOptions) error {
	// a draft in the administrator's home is checked for what it says; the
	// installed configuration also for who can change it
	c, files, problems, err := read(conf, conf == "" || o.accept)
	if err != nil {
		return err
	}
	var remarks []remark
	for _, p := range problems {
		plain := p
		plain.Pos = config.Position{}
		remarks = append(remarks, at(p.Pos, pamstack.Error, "%s", plain.Error()[len(": "):]))
	}
	if len(problems) == 0 {
		if r := polyinst.Clash(c); r != nil {
			remarks = append(remarks, at(config.Position{File: files.Main.Name}, pamstack.Error, "%v", r))
		}
	}
	partly := ""
	if len(remarks) == 0 {
		if o.accept {
			if err := accept(files); err != nil {
				return err
			}
		}
		switch {
		case o.configOnly:
		case os.Geteuid() != 0:
			partly = "; the machine was not looked at, which needs root"
		default:
			found, err := checkMachine(c, files, conf)
			if err != nil {
				return err
			}
			remarks = append(remarks, found...)
		}
		if o.pam != "" {
			found, err := checkPAM(c, o.pam)
			if err != nil {
				return err
			}
			remarks = append(remarks, found...)
		}
	}
	count := map[pamstack.Level]int{}
	for _, r := range remarks {
		count[r.Level]++
		if !o.asJSON {
			fmt.Fprintln(os.Stderr, r)
		}
	}
	if o.asJSON {
		if remarks == nil {
			remarks = []remark{}
		}
		if err := printJSON(struct {
			Schema  int      `json:"schema"`
			Remarks []remark `json:"remarks"`
		}{schema, remarks}); err != nil {
			return err
		}
	}
	if count[pamstack.Error] > 0 {
		return errReported
	}
	if !o.asJSON {
		also := ""
		for _, level := range []pamstack.Level{pamstack.Warning, pamstack.Note} {
			if n := count[level]; n > 0 {
				also += ", " + number(n, string(level))
			}
		}
		fmt.Printf("%s: no problem%s (files: %d, polydirs: %d)%s\n", files.Main.Name, also, len(files.All()), len(c.Polydirs), partly)
		if o.accept {
			fmt.Printf("kept as the last good configuration: %s/%s\n", observe.StateDir, observe.LastGoodName())
		}
	}
	return nil
}

// number is a count with its noun, in the plural where it is not one.
func number(n int, what string) string {
	switch stem, y := strings.CutSuffix(what, "y"); {
	case n == 1:
	case y:
		what = stem + "ies"
	default:
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

func accept(files observe.Files) error {
	content, err := observe.EncodeLastGood(files)
	if err != nil {
		return err
	}
	return apply.KeepState(observe.StateDir, observe.LastGoodName(), content)
}
