import Foundation

/// Symbols from files of several kinds, found by content.
enum SymbolFile {
    /// Larger files are refused.
    static let limit = 4 << 30

    /// - Parameter offset: added to every address.
    /// - Throws: `.badInput` when it cannot be read or holds no symbols.
    static func load(_ path: String, offset: UInt64 = 0) throws(MachineError) -> [(address: UInt64, name: String)] {
        var facts = stat()
        guard stat(path, &facts) == 0 else { throw .badInput("The symbol file '\(path)' cannot be read: \(WholeFile.reason()).") }
        guard facts.st_mode & S_IFMT == S_IFREG, facts.st_size <= limit else { throw .badInput("The symbol file '\(path)' is no file of at most 4 GiB.") }
        let data: Data
        do { data = try Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe) } catch {
            throw .badInput("The symbol file '\(path)' cannot be read: \(error.localizedDescription)")
        }
        var found = data.withUnsafeBytes { bytes in isELF(bytes) ? ELFSymbols(bytes).symbols : lines(bytes) }
        guard !found.isEmpty else {
            throw .badInput("The file '\(path)' holds no symbols: an ELF file with a symbol table, System.map or lines 'ADDRESS NAME' are read.")
        }
        if offset != 0 { for index in found.indices { found[index].address &+= offset } }
        return found
    }

    static func isELF(_ bytes: UnsafeRawBufferPointer) -> Bool { bytes.count >= 16 && bytes[0..<4].elementsEqual([0x7F, 0x45, 0x4C, 0x46]) }

    /// `ADDRESS NAME` (Bochs), `ADDRESS TYPE NAME` (System.map, kallsyms), `REAL VIRTUAL NAME` (nasm's map). Others are passed over.
    static func lines(_ bytes: UnsafeRawBufferPointer) -> [(address: UInt64, name: String)] {
        var result: [(address: UInt64, name: String)] = []
        for line in bytes.split(separator: 0x0A) {
            guard result.count < SymbolTable.limit else { break }
            guard line.count <= 4096 else { continue }
            let words = line.split(maxSplits: 4, whereSeparator: { $0 == 0x20 || $0 == 9 || $0 == 0x0D })
            guard words.count >= 2, let first = number(words[0]) else { continue }
            var address = first, name = words[1]
            if words.count >= 3 {
                if words[1].count == 1, words[1].first.map({ $0 < 0x30 || $0 > 0x39 }) == true {
                    name = words[2]
                } else if let virtual = number(words[1]) {
                    (address, name) = (virtual, words[2])
                }
            }
            // Without the right to see them the kernel shows zeros.
            guard address != 0 || words.count == 2, let start = name.first, !(0x30...0x39).contains(start) else { continue }
            result.append((address, String(decoding: UnsafeRawBufferPointer(rebasing: name.prefix(512)), as: UTF8.self)))
        }
        return result
    }

    private static func number(_ word: Slice<UnsafeRawBufferPointer>) -> UInt64? {
        var digits = word
        if digits.count > 2, digits.first == 0x30, digits.dropFirst().first == 0x78 { digits = digits.dropFirst(2) }
        guard !digits.isEmpty, digits.count <= 16 else { return nil }
        var value: UInt64 = 0
        for byte in digits {
            switch byte {
            case 0x30...0x39: value = value << 4 | UInt64(byte - 0x30)
            case 0x41...0x46: value = value << 4 | UInt64(byte - 0x37)
            case 0x61...0x66: value = value << 4 | UInt64(byte - 0x57)
            default: return nil
            }
        }
        return value
    }
}

/// Symbol tables of an ELF file, 32- or 64-bit, little-endian. What does not fit into the file is passed over.
///
/// Source: *System V Application Binary Interface*, "Sections", "Symbol Table".
struct ELFSymbols {
    private let bytes: UnsafeRawBufferPointer
    private let is64: Bool

    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
        is64 = bytes.count > 4 && bytes[4] == 2
    }

    /// 0 beyond the end.
    private func field(_ at: UInt64, _ count: Int) -> UInt64 {
        guard at <= UInt64(bytes.count), UInt64(count) <= UInt64(bytes.count) - at else { return 0 }
        var value: UInt64 = 0
        for n in (0..<count).reversed() { value = value << 8 | UInt64(bytes[Int(at) + n]) }
        return value
    }

    private struct Section {
        var type, offset, size, link, entry: UInt64
    }

    private func section(_ number: UInt64, _ table: UInt64, _ stride: UInt64) -> Section {
        let at = table &+ number &* stride
        return is64
            ? Section(type: field(at &+ 4, 4), offset: field(at &+ 24, 8), size: field(at &+ 32, 8), link: field(at &+ 40, 4), entry: field(at &+ 56, 8))
            : Section(type: field(at &+ 4, 4), offset: field(at &+ 16, 4), size: field(at &+ 20, 4), link: field(at &+ 24, 4), entry: field(at &+ 36, 4))
    }

    var symbols: [(address: UInt64, name: String)] {
        // Little-endian only.
        guard bytes.count > 6, bytes[5] == 1 else { return [] }
        let table = is64 ? field(40, 8) : field(32, 4)
        let stride = is64 ? field(58, 2) : field(46, 2), count = is64 ? field(60, 2) : field(48, 2)
        guard table < UInt64(bytes.count), stride >= (is64 ? 64 : 40) else { return [] }
        let sections = (0..<count).map { section($0, table, stride) }
        // The full table where there is one, else that of the dynamic linker.
        for wanted in [2, 11] as [UInt64] {
            let found = sections.filter { $0.type == wanted }.flatMap { read($0, sections) }
            if !found.isEmpty { return found }
        }
        return []
    }

    private func read(_ table: Section, _ sections: [Section]) -> [(address: UInt64, name: String)] {
        let entry: UInt64 = is64 ? 24 : 16
        guard table.link < UInt64(sections.count), table.offset <= UInt64(bytes.count), table.entry == 0 || table.entry >= entry else { return [] }
        let strings = sections[Int(table.link)], stride = table.entry == 0 ? entry : table.entry
        let size = min(table.size, UInt64(bytes.count) - table.offset)
        var result: [(address: UInt64, name: String)] = []
        for n in 0..<min(size / stride, UInt64(SymbolTable.limit)) {
            let at = table.offset &+ n &* stride
            let info = is64 ? field(at &+ 4, 1) : field(at &+ 12, 1), place = is64 ? field(at &+ 6, 2) : field(at &+ 14, 2)
            let value = is64 ? field(at &+ 8, 8) : field(at &+ 4, 4)
            // No type, data, code; defined somewhere.
            guard info & 15 <= 2, place != 0, place < 0xFF00 || place == 0xFFF1, let name = string(strings, field(at, 4)) else { continue }
            result.append((value, name))
        }
        return result
    }

    private func string(_ table: Section, _ offset: UInt64) -> String? {
        guard offset < table.size, table.offset <= UInt64(bytes.count), offset < UInt64(bytes.count) - table.offset else { return nil }
        let start = Int(table.offset + offset)
        var end = start
        while end < bytes.count, end - start < 512, bytes[end] != 0 { end += 1 }
        return end > start ? String(decoding: UnsafeRawBufferPointer(rebasing: bytes[start..<end]), as: UTF8.self) : nil
    }
}
