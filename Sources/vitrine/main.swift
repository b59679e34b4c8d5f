import Commands
import Foundation

signal(SIGPIPE, SIG_IGN)
exit(Vitrine.execute(Array(CommandLine.arguments.dropFirst()), in: .process(console: nil)))
