package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/internal/apply"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/observe"
)

// checkOptions say what check looks at besides the configuration's own words.
type checkOptions struct {
	accept     bool
	configOnly bool
	asJSON     bool
	strict     bool
	pam        string // a directory of PAM stacks; empty: none
	as         string // where the file is to stand; empty: where it is
}

func checkCommand() *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "every problem of the configuration, machine and PAM stacks",
		Long: `Check reads the configuration as the module does, and prints every problem as
FILE:LINE:COL: message on standard error; then, as root, what on this machine
would keep a session from opening. With FILE, that is the main file, with the
drop-ins in namespace.d beside it. Warnings count with --strict, notes never.`,
		Example: `  polyinst check
  polyinst check --pam        and the PAM stacks of /etc/pam.d
  polyinst check ./namespace.conf --config-only
  polyinst check DRAFT --strict --as /etc/security/polyinst/namespace.conf
  polyinst check --accept     keep it for config_error=last-good`,
		Args: atMostOne,
		RunE: func(_ *cobra.Command, args []string) error {
			conf := ""
			if err := behindEquals(args, o.pam); err != nil {
				return err
			}
			switch {
			case o.as != "" && len(args) == 0:
				return usageError{errors.New("--as: which file is to stand there? polyinst check FILE --as PATH")}
			case o.as != "" && o.accept:
				return usageError{errors.New("--accept keeps what is in its place: not with --as")}
			}
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
	cmd.Flags().StringVar(&o.as, "as", "", "judge FILE as if it stood at `PATH`")
	cmd.Flags().StringVar(&o.pam, "pam", "", "also check the PAM stacks in `DIR` ("+pamDir+")")
	cmd.Flags().Lookup("pam").NoOptDefVal = pamDir
	cmd.Flags().BoolVar(&o.strict, "strict", false, "a warning is a problem, too: exit with 1")
	jsonFlag(cmd, &o.asJSON)
	quietFlag(cmd)
	return cmd
}

// behindEquals refuses a directory that stands where a file is wanted, because
// --pam takes one behind an equals sign only.
func behindEquals(args []string, pam string) error {
	for _, arg := range args {
		if info, err := os.Stat(arg); pam == pamDir && err == nil && info.IsDir() {
			return usageError{fmt.Errorf("%s is a directory: did you mean --pam=%s?", arg, arg)}
		}
	}
	return nil
}

// examined is what check has to say of a configuration.
type examined struct {
	config  *config.Config // nil: the files are none
	files   observe.Files
	remarks []remark
	partly  string // what was not looked at, behind "; "
}

// examine looks at what the options name. An error says that there is nothing to
// be examined.
func examine(conf string, o checkOptions) (x examined, err error) {
	// a draft in the administrator's home is checked for what it says; the
	// installed configuration also for who can change it
	var problems config.Problems
	if o.as != "" {
		conf, x.files, err = substituted(conf, o.as)
		if err == nil {
			x.config, problems = config.Parse(x.files.Main, x.files.Dropins)
		}
	} else {
		x.config, x.files, problems, err = read(conf, conf == "" || o.accept)
	}
	if err != nil {
		return x, err
	}
	x.remarks = append(fileRemarks(x.config, x.files, problems), unread(conf)...)
	if len(problems) > 0 {
		x.config = nil
	}
	if faulty(x.remarks) {
		return x, nil
	}
	if !o.configOnly {
		x.remarks = append(x.remarks, checkLists(x.config)...)
	}
	if o.accept && !faulty(x.remarks) {
		if err := accept(x.files); err != nil {
			return x, err
		}
	}
	switch {
	case o.configOnly:
	case os.Geteuid() != 0:
		x.partly = "; the machine was not looked at, which needs root"
	default:
		found, err := checkMachine(x.config, x.files, conf)
		if err != nil {
			return x, err
		}
		x.remarks = append(x.remarks, found...)
		if o.pam == "" {
			x.remarks = append(x.remarks, checkBypassed(x.config, x.files.Main.Name)...)
		}
	}
	if o.pam != "" {
		found, err := checkPAM(x.config, x.files.Main.Name, o.pam)
		if err != nil {
			return x, err
		}
		x.remarks = append(x.remarks, found...)
	}
	return x, nil
}

// substituted is the configuration with the text of a file instead of that of another
// one, which is a main file or a drop-in; conf is its main file, empty for the
// default one.
func substituted(file, name string) (conf string, files observe.Files, err error) {
	if name, err = filepath.Abs(name); err != nil {
		return "", files, err
	}
	src, err := observe.Draft(file)
	if err != nil {
		return "", files, err
	}
	d := draft{conf: name, path: name}
	if dir := filepath.Dir(name); filepath.Base(dir) == filepath.Base(observe.InitDir("")) {
		if err := dropinName(filepath.Base(name), dir); err != nil {
			return "", files, err
		}
		d.conf, d.dropin = filepath.Join(filepath.Dir(dir), "namespace.conf"), true
	}
	if d.conf == filepath.Join(observe.ConfigDir, "namespace.conf") {
		d.conf = "" // the vendor's drop-ins, too
	}
	files, err = d.whole(src.Data)
	return d.conf, files, err
}

func check(conf string, o checkOptions) error {
	x, err := examine(conf, o)
	if err != nil {
		return err
	}
	c, files, remarks, partly := x.config, x.files, x.remarks, x.partly
	count := map[pamstack.Level]int{}
	for _, r := range remarks {
		count[r.Level]++
		if !o.asJSON {
			r.tell()
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
	also := counted(remarks)
	if count[pamstack.Error] > 0 || o.strict && count[pamstack.Warning] > 0 {
		if !o.asJSON {
			fmt.Fprintf(os.Stderr, "%s: %s\n", files.Main.Name, also)
		}
		return errReported
	}
	if !o.asJSON {
		if also != "" {
			also = ", " + also
		}
		fmt.Fprintf(stdout, "%s: no problem%s (files: %d, polydirs: %d)%s\n", files.Main.Name, also, len(files.All()), len(c.Polydirs), partly)
		if o.accept {
			sayKept(files)
		}
		if !o.configOnly && os.Geteuid() == 0 { // only root can read what was accepted
			printRescue(c, files, o.pam)
		}
	}
	return nil
}

// refusals counts what check calls errors of a configuration that can be read, and
// of the machine: what refuses sessions.
func refusals(c *config.Config, files observe.Files, conf string) (int, error) {
	if plan.Clash(c) != nil {
		return 1, nil
	}
	remarks, err := checkMachine(c, files, conf)
	n := 0
	for _, r := range append(remarks, checkLists(c)...) {
		if r.Level == pamstack.Error {
			n++
		}
	}
	return n, err
}

// sayKept says where the last good configuration is.
func sayKept(files observe.Files) {
	fmt.Fprintf(stdout, "kept as the last good configuration of %s: %s/%s\n", files.Main.Name, observe.StateDir, observe.LastGoodName(files.Main.Name))
}

func accept(files observe.Files) error {
	content, err := observe.EncodeLastGood(files)
	if err != nil {
		return err
	}
	return apply.KeepState(observe.StateDir, observe.LastGoodName(files.Main.Name), content)
}
