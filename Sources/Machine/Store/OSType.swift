import CPU

/// A kind of guest, and what a machine for it should have.
public struct OSType: Equatable, Sendable, Identifiable {
    public let id: String
    public let title: String
    /// Heading in lists: `DOS`, `Windows`, `Linux`.
    public let family: String
    /// One sentence on what to expect, or empty.
    public let notes: String
    public let memoryMiB: Int
    public let videoMemoryMiB: Int
    public let cpuModel: String
    public let diskInterface: RunSettings.DiskInterface
    public let clock: RunSettings.Clock
    public let boot: [RunSettings.BootDevice]
    /// Of the disk that a new machine is offered, 0: none.
    public let diskBytes: UInt64
    public let rtcLocal: Bool
    public let acpi: Bool
    /// Virtio source of random numbers.
    public let virtioRNG: Bool

    init(
        _ id: String, _ title: String, _ family: String, memory: Int, video: Int = 16, cpu: CPUModel, disk: UInt64, virtio: Bool = false,
        local: Bool = false, acpi: Bool = true, boot: [RunSettings.BootDevice] = [.cdrom, .disk], notes: String = ""
    ) {
        self.id = id
        self.title = title
        self.family = family
        self.notes = notes
        memoryMiB = memory
        videoMemoryMiB = video
        // Where the host's processor cannot do it, the best that it can.
        cpuModel = cpu.missingOnHost.isEmpty ? cpu.name : RunSettings.defaultModel
        diskInterface = virtio ? .virtio : .ide
        clock = .host
        self.boot = boot
        diskBytes = disk
        rtcLocal = local
        self.acpi = acpi
        virtioRNG = virtio
    }

    public static func named(_ id: String) -> OSType? { all.first { $0.id == id } }

    /// A new machine's settings, without media.
    public var settings: MachineSettings {
        var settings = MachineSettings()
        settings.osType = id
        settings.run.memoryMiB = memoryMiB
        settings.run.videoMemoryMiB = videoMemoryMiB
        settings.run.cpuModel = cpuModel
        settings.run.diskInterface = diskInterface
        settings.run.clock = clock
        settings.run.boot = boot
        settings.run.rtcLocal = rtcLocal
        settings.run.acpi = acpi
        settings.run.virtioRNG = virtioRNG
        return settings
    }
}
