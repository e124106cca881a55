package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"pam_polyinst/internal/apply"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/polyinst"
)

func checkCommand() *cobra.Command {
	var accept bool
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "print every problem of the configuration with its place",
		Long: `Check reads the configuration as the module does, and prints every problem
as FILE:LINE:COL: message on standard error. With FILE, that is the main file;
drop-ins are those in namespace.d beside it.`,
		Example: `  polyinst check
  polyinst check ./namespace.conf
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
			return check(conf, accept)
		},
	}
	cmd.Flags().BoolVar(&accept, "accept", false, "keep this configuration as the last good one")
	return cmd
}

func check(conf string, accept bool) error {
	// a draft in the administrator's home is checked for what it says; the
	// installed configuration also for who can change it
	c, files, err := load(conf, conf == "" || accept)
	if err != nil {
		return err
	}
	if r := polyinst.Clash(c); r != nil {
		return r
	}
	if accept {
		content, err := observe.EncodeLastGood(files)
		if err != nil {
			return err
		}
		if err := apply.KeepState(observe.StateDir, observe.LastGoodName(), content); err != nil {
			return err
		}
	}
	fmt.Printf("%s: no problem (files: %d, polydirs: %d)\n", files.Main.Name, len(files.All()), len(c.Polydirs))
	if accept {
		fmt.Printf("kept as the last good configuration: %s/%s\n", observe.StateDir, observe.LastGoodName())
	}
	return nil
}
