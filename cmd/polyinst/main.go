// Command polyinst is the administrator's tool of pam_polyinst: it answers with
// the very functions that the module uses.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"pam_polyinst/internal/config"
	"pam_polyinst/internal/dirfd"
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
		Use:   "polyinst",
		Short: "private directories per session: check, prepare, look, clean up",
		Long: `polyinst looks after the private directories of pam_polyinst, by the very
functions that the module uses.

Exit status: 0 done, and nothing is wrong; 1 there are problems, or something
could not be done; 2 the command line is wrong; enter and real: that of COMMAND.`,
		Example: `  polyinst check --pam         is all as it must be?
  polyinst explain alice       what would alice's session get, and why?
  polyinst try alice           a rehearsal, without touching /etc/pam.d
  polyinst list                who is in which private directories?
  polyinst enter alice         a root shell in alice's view
  polyinst gc --dry-run        what would be cleaned up?`,
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noSuchCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetArgs(args)
	root.SuggestionsMinimumDistance = 2
	usage := false
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { usage = true; return err })
	root.AddCommand(checkCommand(), explainCommand(), prepareCommand(), tryCommand(), listCommand(), enterCommand(), realCommand(), gcCommand(), metricsCommand(), convertCommand())
	err := root.Execute()
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errReported):
		return exitFound
	}
	fmt.Fprintln(os.Stderr, "polyinst:", words(err))
	var wrong usageError
	if usage || errors.As(err, &wrong) {
		return exitUsage
	}
	return exitFound
}

// words is an error without the name of the check that found it: that a path is
// not to be trusted, its reason says.
func words(err error) string { return strings.TrimPrefix(err.Error(), "trust ") }

// usageError is a wrong command line.
type usageError struct{ error }

// noSuchCommand is for words that are no command.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "; polyinst --help lists them"
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf(", did you mean %q?", near[0])
	}
	return usageError{fmt.Errorf("unknown command %q%s", args[0], hint)}
}

// users completes the name of an account.
func users(_ *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
	var out []string
	for _, name := range accounts() {
		if len(args) == 0 && strings.HasPrefix(name, begin) {
			out = append(out, name)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

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
	c, files, problems, err := read(conf, trusted)
	for _, p := range problems {
		fmt.Fprintln(os.Stderr, p.Error())
	}
	if len(problems) > 0 {
		return nil, files, errReported
	}
	return c, files, err
}

// read reads and checks the configuration; problems are what is wrong in it, err
// is why it cannot be read at all.
func read(conf string, trusted bool) (*config.Config, observe.Files, config.Problems, error) {
	files, err := observe.ConfigFiles(conf, trusted)
	if dirfd.IsNotExist(err) && conf == "" {
		return nil, files, nil, fmt.Errorf("%w: there is no configuration; begin with namespace.conf.example, or `polyinst convert` for pam_namespace's", err)
	}
	if err != nil {
		return nil, files, nil, err
	}
	c, problems := config.Parse(files.Main, files.Dropins)
	return c, files, problems, nil
}

func confFlag(cmd *cobra.Command, conf *string) {
	cmd.Flags().StringVar(conf, "conf", "", "another main file, as conf= on the PAM line")
}
