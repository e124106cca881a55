package main

import (
	"fmt"

	"github.com/spf13/cobra"

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
			c, _, err := load(conf, true)
			if err != nil {
				return err
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
			return reap.Collect(where, options)
		},
	}
	confFlag(cmd, &conf)
	cmd.Flags().BoolVar(&options.DryRun, "dry-run", false, "only say what would be removed")
	cmd.Flags().BoolVar(&options.Orphans, "orphans", false, "also persistent instances whose account is gone")
	return cmd
}
