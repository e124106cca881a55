// Command polyinst is the administrator's tool of pam_polyinst: it answers with
// the very functions that the module uses.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"pam_polyinst/internal/config"
	"pam_polyinst/internal/observe"
)

// version is set by the build.
var version = "unknown"

// Exit codes, as polyinst(8) documents them.
const (
	exitFound = 1 // problems were found, or something could not be done
	exitUsage = 2 // the command line is wrong
)

// errReported says that the problems are on stderr already.
var errReported = errors.New("")

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	root := &cobra.Command{
		Use:           "polyinst",
		Short:         "private directories per session: check, prepare and clean up",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetArgs(args)
	usage := false
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { usage = true; return err })
	root.AddCommand(checkCommand(), explainCommand(), prepareCommand(), gcCommand(), convertCommand())
	err := root.Execute()
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errReported):
		return exitFound
	}
	fmt.Fprintln(os.Stderr, "polyinst:", err)
	var wrong usageError
	if usage || errors.As(err, &wrong) {
		return exitUsage
	}
	return exitFound
}

// usageError is a wrong command line.
type usageError struct{ error }

func atMostOne(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usageError{fmt.Errorf("one file at most, not %d", len(args))}
	}
	return nil
}

func none(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", args[0])}
	}
	return nil
}

// load reads and checks the configuration, and prints what is wrong with it.
func load(conf string, trusted bool) (*config.Config, observe.Files, error) {
	files, err := observe.ConfigFiles(conf, trusted)
	if err != nil {
		return nil, files, err
	}
	c, problems := config.Parse(files.Main, files.Dropins)
	for _, p := range problems {
		fmt.Fprintln(os.Stderr, p.Error())
	}
	if len(problems) > 0 {
		return nil, files, errReported
	}
	return c, files, nil
}

func confFlag(cmd *cobra.Command, conf *string) {
	cmd.Flags().StringVar(conf, "conf", "", "another main file, as conf= on the PAM line")
}
