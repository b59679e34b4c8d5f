import Foundation

/// Everything that `machine.toml` says about a stored machine.
///
/// Paths in `run` are as the file has them: absolute, or relative to the machine's folder (`resolved(in:)`).
public struct MachineSettings: Equatable, Sendable {
    /// Id of an `OSType`.
    public var osType = OSType.other.id
    /// Groups are nested by `/`; empty: none.
    public var group = ""
    public var tags: [String] = []
    /// May have several lines.
    public var notes = ""
    public var run = RunSettings()

    public init() {}

    /// Looks for settings that contradict each other, without touching a file.
    /// - Throws: `.usage` for the first that does.
    public func validate() throws(MachineError) {
        var stored = run
        // How the machine is shown is known when it is started.
        stored.headless = true
        // The order waits for the kernel to be taken away: OS types bring one.
        if stored.kernel != nil { stored.boot = [] }
        try stored.validate()
    }

    /// The settings of a run, with every path absolute.
    /// - Parameter folder: the machine's; relative paths start there.
    public func resolved(in folder: String, name: String) -> RunSettings {
        var settings = mappingPaths { $0.hasPrefix("/") ? $0 : folder + "/" + $0 }.run
        settings.name = name
        if settings.kernel != nil { settings.boot = [] }
        return settings
    }

    /// A copy in which every path has been changed.
    public func mappingPaths(_ change: (String) -> String) -> MachineSettings {
        var copy = self
        copy.run.floppy = run.floppy.map(change)
        copy.run.disks = run.disks.map(change)
        copy.run.cdrom = run.cdrom.map(change)
        copy.run.kernel = run.kernel.map(change)
        copy.run.initrd = run.initrd.map(change)
        copy.run.bios = run.bios.map(change)
        copy.run.serial = run.serial.map { $0.mappingPath(change) }
        copy.run.virtioConsole = run.virtioConsole?.mappingPath(change)
        copy.run.transcript = run.transcript.map(change)
        copy.run.debugConsoles = run.debugConsoles.map { .init(port: $0.port, path: $0.path.map(change)) }
        return copy
    }
}

extension SerialTarget {
    /// As `--serial` takes it.
    public var text: String {
        switch self {
        case .stdio: "stdio"
        case .none: "none"
        case .pty: "pty"
        case .file(let path): "file:" + path
        case .socket(let path): "socket:" + path
        }
    }

    func mappingPath(_ change: (String) -> String) -> SerialTarget {
        switch self {
        case .stdio, .none, .pty: self
        case .file(let path): .file(change(path))
        case .socket(let path): .socket(change(path))
        }
    }
}
