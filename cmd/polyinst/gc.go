package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"pam_polyinst/internal/config"
	"pam_polyinst/internal/reap"
)

func gcCommand() *cobra.Command {
	var conf string
	var options reap.Options
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "remove the tmpdir instances that no session uses any more",
		Long: `Gc removes tmpdir instances whose session has ended, what a crash left half
made, and the records of namespaces that are gone. It never touches what a
session uses, nor, without --orphans, a persistent instance.`,
		Example: `  polyinst gc --dry-run
  polyinst gc --orphans --dry-run`,
		Args: none,
		RunE: func(*cobra.Command, []string) error {
			c, _, broken := load(conf, true)
			if broken != nil {
				// what live records name can be collected all the same
				if !errors.Is(broken, errReported) {
					fmt.Fprintln(os.Stderr, "polyinst:", broken)
				}
				fmt.Fprintln(os.Stderr, "polyinst: without a configuration only the parents of recorded sessions are looked at")
				c = &config.Config{}
			}
			verb := "removed"
			if options.DryRun {
				verb = "would remove"
			}
			options.Removed = func(path, why string) { fmt.Printf("%s %s: %s\n", verb, path, why) }
			options.Kept = func(path, why string) { fmt.Printf("kept %s: %s\n", path, why) }
			var where []reap.Parent
			for _, p := range parents(c, false) {
				where = append(where, reap.Parent{Path: p.path, Prefix: p.prefix})
			}
			if err := reap.Collect(where, options); err != nil {
				return err
			}
			if broken != nil {
				return errReported
			}
			return nil
		},
	}
	confFlag(cmd, &conf)
	cmd.Flags().BoolVar(&options.DryRun, "dry-run", false, "only say what would be removed")
	cmd.Flags().BoolVar(&options.Orphans, "orphans", false, "also persistent instances whose account is gone")
	return cmd
}
