/// The script by which firmware places tables: files of fw_cfg, the pointers between them and their checksums.
///
/// Source: QEMU, `hw/acpi/bios-linker-loader.c` (layout of the commands in its comments) and *fw_cfg* (docs/specs); SeaBIOS,
/// `src/fw/romfile_loader.h`. Entries have 128 bytes; file names 56, with a zero byte at the end.
///
/// Not implemented: the commands by which firmware tells an address back (WRITE_POINTER).
public struct TableLoader: Equatable, Sendable {
    /// fw_cfg file that holds the script.
    public static let fileName = "etc/table-loader"
    static let entryBytes = 128
    private static let nameBytes = 56

    /// Where a file goes.
    enum Zone: UInt8 {
        case highMemory = 1
        /// F0000–FFFFF, where operating systems search.
        case fSegment = 2
    }

    /// All entries so far.
    public private(set) var script: [UInt8] = []

    /// Reads `file` into memory. Before any other command that names it.
    mutating func allocate(_ file: String, alignment: UInt32, _ zone: Zone) {
        add(1, TableLoader.name(file) + AML.little(UInt64(alignment), 4) + [zone.rawValue])
    }

    /// Adds the address of `target` to the `size` bytes at `offset` of `file`, which hold an offset in `target`.
    mutating func addPointer(in file: String, at offset: Int, size: UInt8, to target: String) {
        add(2, TableLoader.name(file) + TableLoader.name(target) + AML.little(UInt64(offset), 4) + [size])
    }

    /// Makes the bytes of `range` add up to 0 by means of the byte at `offset`, which is 0 before.
    mutating func addChecksum(in file: String, at offset: Int, over range: Range<Int>) {
        add(3, TableLoader.name(file) + [offset, range.lowerBound, range.count].flatMap { AML.little(UInt64($0), 4) })
    }

    private mutating func add(_ command: UInt64, _ operands: [UInt8]) {
        let entry = AML.little(command, 4) + operands
        script += entry + [UInt8](repeating: 0, count: TableLoader.entryBytes - entry.count)
    }

    private static func name(_ file: String) -> [UInt8] {
        let text = Array(file.utf8.prefix(nameBytes - 1))
        return text + [UInt8](repeating: 0, count: nameBytes - text.count)
    }
}
