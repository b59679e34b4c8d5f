import ArgumentParser
import Machine

/// `vitrine run [OPTIONS]`: one machine now, nothing stored.
struct Run: Verb {
    static let configuration = CommandConfiguration(
        abstract: "Run one machine now; nothing is stored.",
        discussion: """
            Ends with 0 when the guest powers off, 1 on a failure of ours, 2 without a terminal, 3 on a Guru Meditation, 4 when a script's \
            wait fails, 64 on wrong usage, 66 when an input is not what it should be, 124 when the time limit is reached.
            """)

    @OptionGroup(title: "Media") var media: MediaOptions
    @OptionGroup(title: "Kernel without a boot loader") var kernel: KernelOptions
    @OptionGroup(title: "Machine") var machine: MachineOptions
    @OptionGroup(title: "Ports") var ports: PortOptions
    @OptionGroup(title: "The run") var control: ControlOptions
    @OptionGroup(title: "Screen") var screen: ScreenOptions

    func run(in host: Host) throws(MachineError) -> Int32 {
        var settings = RunSettings()
        media.apply(to: &settings)
        kernel.apply(to: &settings)
        machine.apply(to: &settings)
        ports.apply(to: &settings)
        control.apply(to: &settings)
        return try runMachine(settings, screen: screen.settings, in: host)
    }
}
