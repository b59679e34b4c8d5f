@testable import Hardware

/// What firmware makes of the table files: the loader's script carried out on a flat memory.
struct LoadedTables {
    /// Address and contents of each file.
    private(set) var files: [String: (base: UInt64, bytes: [UInt8])] = [:]
    /// What a firmware would complain about.
    private(set) var complaints: [String] = []

    init(_ source: (String) -> [UInt8]?) {
        let script = source("etc/table-loader") ?? []
        if script.isEmpty || script.count % 128 != 0 { complaints.append("the script has \(script.count) bytes") }
        var next: UInt64 = 0x7_F000_0000
        for start in stride(from: 0, to: script.count - 127, by: 128) {
            let entry = Array(script[start..<(start + 128)])
            let name = LoadedTables.text(entry[4..<60])
            switch LoadedTables.number(entry, 0, 4) {
            case 1:
                let alignment = LoadedTables.number(entry, 60, 4)
                guard let bytes = source(name), [1, 2].contains(entry[64]), alignment.nonzeroBitCount == 1 else {
                    complaints.append("ALLOCATE \(name)")
                    continue
                }
                next = (next + alignment - 1) & ~(alignment - 1)
                files[name] = (next, bytes)
                next += UInt64(bytes.count)
            case 2:
                let (offset, size) = (Int(LoadedTables.number(entry, 116, 4)), Int(entry[120]))
                guard var file = files[name], let target = files[LoadedTables.text(entry[60..<116])], offset + size <= file.bytes.count else {
                    complaints.append("ADD_POINTER in \(name)")
                    continue
                }
                let relative = LoadedTables.number(file.bytes, offset, size)
                if relative >= UInt64(target.bytes.count) { complaints.append("a pointer leads out of the file") }
                // 32-bit pointers are compared modulo 4 GiB here, so that the long ones are told apart from them.
                file.bytes.replaceSubrange(offset..<(offset + size), with: AML.little(relative + target.base, size))
                files[name] = file
            case 3:
                let (offset, start, count) = (
                    Int(LoadedTables.number(entry, 60, 4)), Int(LoadedTables.number(entry, 64, 4)), Int(LoadedTables.number(entry, 68, 4))
                )
                guard var file = files[name], (start..<(start + count)).contains(offset), start + count <= file.bytes.count else {
                    complaints.append("ADD_CHECKSUM in \(name)")
                    continue
                }
                file.bytes[offset] &-= LoadedTables.sum(file.bytes[start..<(start + count)])
                files[name] = file
            default: complaints.append("command \(LoadedTables.number(entry, 0, 4))")
            }
        }
    }

    /// A table by its 64-bit address, with its length from the header; nil when it is not there.
    func table(at address: UInt64) -> [UInt8]? {
        for file in files.values where address >= file.base && address < file.base + UInt64(file.bytes.count) {
            let start = Int(address - file.base)
            guard start + 8 <= file.bytes.count else { return nil }
            let length = Int(LoadedTables.number(file.bytes, start + 4, 4))
            guard start + length <= file.bytes.count else { return nil }
            return Array(file.bytes[start..<(start + length)])
        }
        return nil
    }

    var rsdp: [UInt8] { files["etc/acpi/rsdp"]?.bytes ?? [] }

    /// The tables that the XSDT lists, by signature, and what the FADT points to.
    var tables: [String: [UInt8]] {
        guard rsdp.count == 36, let xsdt = table(at: LoadedTables.number(rsdp, 24, 8)) else { return [:] }
        var found = ["XSDT": xsdt]
        for at in stride(from: 36, to: xsdt.count, by: 8) {
            guard let table = table(at: LoadedTables.number(xsdt, at, 8)) else { continue }
            found[LoadedTables.text(table[0..<4])] = table
        }
        if let fadt = found["FACP"], let dsdt = table(at: LoadedTables.number(fadt, 140, 8)) { found["DSDT"] = dsdt }
        return found
    }

    static func number(_ bytes: [UInt8], _ offset: Int, _ size: Int) -> UInt64 {
        bytes[offset..<(offset + size)].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
    static func text(_ bytes: ArraySlice<UInt8>) -> String { String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self) }
    static func sum(_ bytes: some Sequence<UInt8>) -> UInt8 { bytes.reduce(0, &+) }
}
