/// ACPI Machine Language: a term or a list of terms in its binary form.
///
/// Source: *Advanced Configuration and Power Interface Specification*, revision 2.0c, chapter 17 "ACPI Machine Language (AML)
/// Specification"; names of the functions are those of the source language (chapter 16).
///
/// Names are paths such as `\_SB.PCI0` or single segments; segments have one to four letters and are padded with `_`.
/// Not implemented: what this board's tables do not need — events, mutexes, loops, references, indexing, most arithmetic.
public struct AML: Equatable, Sendable {
    public let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    // MARK: Data

    public static func integer(_ value: UInt64) -> AML {
        switch value {
        case 0: AML([0x00])  // ZeroOp
        case 1: AML([0x01])  // OneOp
        case ...0xFF: AML([0x0A, UInt8(value)])
        case ...0xFFFF: AML([0x0B] + little(value, 2))
        case ...0xFFFF_FFFF: AML([0x0C] + little(value, 4))
        default: AML([0x0E] + little(value, 8))
        }
    }

    /// A text in ASCII.
    public static func string(_ text: String) -> AML { AML([0x0D] + Array(text.utf8) + [0]) }

    /// Three letters and four hexadecimal digits in the compressed form of EISA (`EISAID`).
    public static func eisaID(_ id: String) -> AML {
        let letters = id.utf8.prefix(3).map { UInt16($0 & 0x1F) }
        precondition(id.utf8.count == 7 && letters.count == 3, "an EISA identifier has three letters and four digits")
        let vendor = letters[0] << 10 | letters[1] << 5 | letters[2]
        let product = UInt16(id.suffix(4), radix: 16) ?? 0
        // High byte first, in an integer whose low byte is first.
        return integer(UInt64(vendor.byteSwapped) | UInt64(product.byteSwapped) << 16)
    }

    public static func buffer(_ contents: [UInt8]) -> AML {
        AML([0x11] + package(length: integer(UInt64(contents.count)).bytes + contents))
    }

    public static func package(_ elements: [AML]) -> AML {
        precondition(elements.count <= 255, "a package has at most 255 elements")
        return AML([0x12] + package(length: [UInt8(elements.count)] + elements.flatMap(\.bytes)))
    }

    public static func package(_ elements: AML...) -> AML { package(elements) }

    public static func resources(_ list: Resource...) -> AML { resources(list) }

    /// `ResourceTemplate`: descriptors and an end tag, in a buffer.
    public static func resources(_ list: [Resource]) -> AML {
        buffer(list.flatMap(\.bytes) + [0x79, 0x00])  // checksum 0: none
    }

    // MARK: Named objects

    public static func name(_ name: String, _ value: AML) -> AML { AML([0x08] + path(name) + value.bytes) }

    public static func scope(_ name: String, _ body: [AML]) -> AML { AML([0x10] + package(length: path(name) + body.flatMap(\.bytes))) }

    public static func device(_ name: String, _ body: [AML]) -> AML {
        AML([0x5B, 0x82] + package(length: path(name) + body.flatMap(\.bytes)))
    }

    public static func device(_ name: String, _ body: AML...) -> AML { device(name, body) }

    /// A processor without a register block of its own (no C2, C3, no throttling).
    public static func processor(_ name: String, id: UInt8) -> AML {
        AML([0x5B, 0x83] + package(length: path(name) + [id, 0, 0, 0, 0, 0]))
    }

    /// - Parameter serialized: needed when the method creates names.
    public static func method(_ name: String, arguments: UInt8 = 0, serialized: Bool = false, _ body: AML...) -> AML {
        AML([0x14] + package(length: path(name) + [arguments & 7 | (serialized ? 8 : 0)] + body.flatMap(\.bytes)))
    }

    /// A region of the PCI configuration space of the device around it.
    public static func pciConfigRegion(_ name: String, offset: UInt8, bytes: UInt8) -> AML {
        AML([0x5B, 0x80] + path(name) + [0x02] + integer(UInt64(offset)).bytes + integer(UInt64(bytes)).bytes)
    }

    /// Fields of whole bytes one after the other in a region, accessed as bytes.
    public static func byteFields(in region: String, _ names: [String]) -> AML {
        // Flags: ByteAcc, NoLock, Preserve. The width is in bits.
        AML([0x5B, 0x81] + package(length: path(region) + [0x01] + names.flatMap { segment($0) + [8] }))
    }

    /// A field of 16 bits over a buffer.
    public static func createWordField(_ buffer: AML, at offset: UInt64, _ name: String) -> AML {
        AML([0x8B] + buffer.bytes + integer(offset).bytes + path(name))
    }

    // MARK: Expressions and statements

    /// A named object's value, or a call: the method's name followed by its arguments.
    public static func call(_ name: String, _ arguments: AML...) -> AML { AML(path(name) + arguments.flatMap(\.bytes)) }
    public static func local(_ n: UInt8) -> AML { AML([0x60 + min(n, 7)]) }
    public static func argument(_ n: UInt8) -> AML { AML([0x68 + min(n, 6)]) }

    public static func store(_ value: AML, in target: AML) -> AML { AML([0x70] + value.bytes + target.bytes) }
    public static func and(_ a: AML, _ b: AML, into target: AML = .nowhere) -> AML { AML([0x7B] + a.bytes + b.bytes + target.bytes) }
    public static func or(_ a: AML, _ b: AML, into target: AML = .nowhere) -> AML { AML([0x7D] + a.bytes + b.bytes + target.bytes) }
    public static func subtract(_ b: AML, from a: AML, into target: AML) -> AML { AML([0x74] + a.bytes + b.bytes + target.bytes) }
    public static func shiftLeft(_ value: AML, by count: AML, into target: AML) -> AML {
        AML([0x79] + value.bytes + count.bytes + target.bytes)
    }
    /// The target of an operation whose result is only used where it stands.
    public static let nowhere = AML([0])
    /// Number of the lowest set bit, counted from 1.
    public static func findSetRightBit(_ value: AML) -> AML { AML([0x82] + value.bytes + [0]) }
    public static func notify(_ object: String, _ value: UInt64) -> AML { AML([0x86] + path(object) + integer(value).bytes) }
    public static func `return`(_ value: AML) -> AML { AML([0xA4] + value.bytes) }
    public static func `if`(_ condition: AML, _ body: AML...) -> AML {
        AML([0xA0] + package(length: condition.bytes + body.flatMap(\.bytes)))
    }
    public static func `else`(_ body: AML...) -> AML { AML([0xA1] + package(length: body.flatMap(\.bytes))) }

    // MARK: Encoding

    /// PkgLength and contents; the length counts itself.
    private static func package(length contents: [UInt8]) -> [UInt8] {
        let count = contents.count
        if count + 1 < 1 << 6 { return [UInt8(count + 1)] + contents }
        for extra in 1...3 where count + 1 + extra < 1 << (4 + 8 * extra) {
            let total = UInt64(count + 1 + extra)
            return [UInt8(extra << 6) | UInt8(total & 0xF)] + little(total >> 4, extra) + contents
        }
        preconditionFailure("an AML package holds less than 256 MiB")
    }

    /// NameString: root and parent prefixes, then one, two or more segments.
    static func path(_ name: String) -> [UInt8] {
        var prefix: [UInt8] = []
        var rest = Substring(name)
        while let first = rest.first, first == "\\" || first == "^" {
            prefix.append(first == "\\" ? 0x5C : 0x5E)
            rest = rest.dropFirst()
        }
        let segments = rest.split(separator: ".").map { segment(String($0)) }
        switch segments.count {
        case 0: return prefix + [0]
        case 1: return prefix + segments[0]
        case 2: return prefix + [0x2E] + segments[0] + segments[1]
        default: return prefix + [0x2F, UInt8(segments.count)] + segments.flatMap { $0 }
        }
    }

    private static func segment(_ text: String) -> [UInt8] {
        precondition((1...4).contains(text.utf8.count), "a name segment has one to four letters")
        return Array(text.utf8) + [UInt8](repeating: 0x5F, count: 4 - text.utf8.count)
    }

    static func little(_ value: UInt64, _ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) } }
}
