import ArgumentParser
import Machine

/// `vitrine os-types`: what `create --os-type` knows.
struct OSTypes: Verb {
    static let configuration = CommandConfiguration(commandName: "os-types", abstract: "List the OS types and their defaults.")

    @OptionGroup var output: OutputOptions

    func run(in host: Host) throws(MachineError) -> Int32 {
        try host.say(TypeList(types: OSType.all.map(TypeReport.init)), output)
        return 0
    }
}

private struct TypeReport: Encodable {
    var id, title, family, notes: String
    /// MiB.
    var memory, videoMemory: Int
    var cpuModel, diskInterface, clock, boot: String
    var diskBytes: UInt64
    var rtcLocal, acpi: Bool

    init(_ type: OSType) {
        (id, title, family, notes) = (type.id, type.title, type.family, type.notes)
        (memory, videoMemory, cpuModel) = (type.memoryMiB, type.videoMemoryMiB, type.cpuModel)
        (diskInterface, clock) = (type.diskInterface.rawValue, type.clock.rawValue)
        boot = String(type.boot.map(\.rawValue))
        (diskBytes, rtcLocal, acpi) = (type.diskBytes, type.rtcLocal, type.acpi)
    }
}

private struct TypeList: Report {
    var types: [TypeReport]

    var text: String {
        let rows = types.map { type in
            [
                type.id, type.title, "\(type.memory) MiB", type.cpuModel, type.diskInterface,
                type.diskBytes == 0 ? "none" : ByteSize.text(type.diskBytes),
            ]
        }
        return TextTable.text([["ID", "SYSTEM", "MEMORY", "PROCESSOR", "DISKS ON", "DISK"]] + rows)
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(types)
    }
}
