import Foundation
import Testing

/// Who may import whom, as the README's "Map" and Package.swift have it: each target with all that it may name.
///
/// A module's own layering is a matter of taste; these arrows are not: the processor and the board know no file, no clock and no
/// screen, commands know no screen, and only one target knows curses.
private let arrows: [String: Set<String>] = [
    "Primitives": [],
    "CPU": ["Primitives", "Glibc"],
    "Hardware": ["CPU", "Primitives"],
    "DataFiles": ["TOMLKit"],
    "Machine": ["CZlib", "CZstd", "CZydis", "DataFiles", "Hardware", "CPU", "Primitives", "Foundation", "Glibc", "Dispatch", "Synchronization", "TOMLKit"],
    "Terminal": ["DataFiles", "Primitives", "Foundation", "TOMLKit"],
    "Panels": ["Terminal", "DataFiles", "Machine", "Hardware", "CPU", "Primitives"],
    "Console": [
        "CNcursesW", "Panels", "Terminal", "DataFiles", "Machine", "Hardware", "CPU", "Primitives", "Foundation", "Glibc", "Synchronization",
    ],
    "Commands": ["Machine", "DataFiles", "Hardware", "CPU", "Primitives", "ArgumentParser", "Foundation", "Glibc", "Synchronization"],
    "vitrine": ["Console", "Panels", "Commands", "Terminal", "Machine", "Hardware", "CPU", "Primitives", "Foundation", "Glibc"],
    "CNcursesW": [], "CZlib": [], "CZstd": [], "CZydis": [],
]

@Suite("tidy · arrows") struct ArrowTests {
    @Test("every target has its arrows") func complete() {
        for target in House.folders("Sources") { #expect(arrows[target] != nil, "Sources/\(target) is not in the table of arrows") }
    }

    @Test("a target imports only what its arrows allow", arguments: arrows.keys.sorted())
    func layering(target: String) throws {
        let pattern = try NSRegularExpression(
            pattern: "^\\s*(?:@[A-Za-z_]+(?:\\([a-z]+\\))?\\s+)*(?:(?:public|package|internal|private|fileprivate)\\s+)?"
                + "import\\s+(?:(?:struct|class|enum|func|let|var|typealias|protocol)\\s+)?([A-Za-z_0-9]+)")
        for file in House.files("Sources/" + target, ["swift"]) {
            for (index, line) in file.lines.enumerated() {
                guard let match = pattern.firstMatch(in: line, range: NSRange(line.startIndex..., in: line)),
                    let range = Range(match.range(at: 1), in: line)
                else { continue }
                let module = String(line[range])
                #expect(arrows[target]?.contains(module) == true, "\(file.path):\(index + 1): \(target) must not import \(module)")
            }
        }
    }

    @Test("Package.swift lists no dependency that is not an arrow", arguments: arrows.keys.sorted())
    func package(target: String) throws {
        let text = House.read("Package.swift").lines.joined(separator: " ")
        let pattern = try NSRegularExpression(pattern: "[tT]arget\\(\\s*name: \"\(target)\",\\s*dependencies: \\[([^\\]]*)\\]")
        guard let match = pattern.firstMatch(in: text, range: NSRange(text.startIndex..., in: text)), let range = Range(match.range(at: 1), in: text)
        else { return }
        let products = try NSRegularExpression(pattern: "\\.product\\(name: (\"[A-Za-z]+\"), package: \"[^\"]+\"\\)")
        let list = String(text[range])
        let names = products.stringByReplacingMatches(in: list, range: NSRange(list.startIndex..., in: list), withTemplate: "$1")
            .split(separator: ",").map { $0.trimmingCharacters(in: CharacterSet(charactersIn: " \"")) }.filter { !$0.isEmpty }
        for name in names { #expect(arrows[target]?.contains(name) == true, "Package.swift: \(target) must not depend on \(name)") }
    }
}

@Suite("tidy · source") struct SourceTests {
    /// Values that are no part of a chip.
    static let values: Set<String> = ["ClockRate.swift", "PCKey.swift", "TextFrame.swift"]

    @Test("a device file begins with maker and part, its source, and what is not implemented", arguments: House.files("Sources/Hardware/Devices", ["swift"]))
    func heads(file: House.Text) {
        let name = (file.path as NSString).lastPathComponent
        guard !SourceTests.values.contains(name), !name.contains("+") else { return }
        let head = Array(file.lines.drop { !$0.hasPrefix("///") }.prefix { $0.hasPrefix("///") })
        let makers = "OASIS|Intel|IBM|Motorola|National|Microsoft|Compaq|ECMA|QEMU|Bochs|Vitrine"
        let named = head.first?.range(of: "^/// (\(makers))[ ,].*", options: .regularExpression) != nil
        #expect(named, "\(file.path): the head does not begin with maker and part")
        #expect(head.contains { $0.hasPrefix("/// Source:") }, "\(file.path): no 'Source:' in the head")
        #expect(head.contains { $0.hasPrefix("/// Not implemented:") }, "\(file.path): no 'Not implemented:' in the head")
        let before = file.lines.prefix { !$0.hasPrefix("///") }
        #expect(before.allSatisfy { $0.isEmpty || $0.hasPrefix("import ") }, "\(file.path): something stands before the head")
    }

    @Test("processor and board know no clock, no file, no thread and no terminal of the host", arguments: ["CPU", "Hardware"])
    func bans(target: String) {
        let banned =
            "\\bDate\\(|\\bimport Foundation\\b|Task\\.sleep|DispatchTime|DispatchQueue|FileManager|FileHandle|\\bprint\\("
            + "|clock_gettime|gettimeofday|\\bThread\\b"
        for file in House.files("Sources/" + target, ["swift"]) {
            for finding in file.findings(banned) { Issue.record(Comment(rawValue: finding)) }
        }
    }

    @Test("nothing prints for debugging") func prints() {
        for file in House.files("Sources", ["swift"]) {
            for finding in file.findings("\\b(print|debugPrint|dump)\\(") { Issue.record(Comment(rawValue: finding)) }
        }
    }

    @Test("no force-try, and no fatalError outside Primitives") func traps() {
        for file in House.files("Sources", ["swift"]) {
            for finding in file.findings("\\btry!") { Issue.record(Comment(rawValue: finding)) }
            guard !file.path.hasPrefix("Sources/Primitives/") else { continue }
            for finding in file.findings("\\bfatalError\\(") { Issue.record(Comment(rawValue: finding)) }
        }
    }

    @Test("a gap is a line in 'Not implemented', not a note to ourselves", arguments: House.swift)
    func notes(file: House.Text) {
        guard file.path != "Tests/TidyTests/TidyTests.swift" else { return }
        for finding in file.findings("\\b(TODO|FIXME|XXX|HACK)\\b", comments: true) { Issue.record(Comment(rawValue: finding)) }
    }

    @Test("lines have at most 160 columns, no tabs and no blanks at the end", arguments: House.swift)
    func lines(file: House.Text) {
        for (index, line) in file.lines.enumerated() {
            let place = "\(file.path):\(index + 1)"
            if line.count > 160 { Issue.record("\(place): \(line.count) columns") }
            if line.contains("\t") { Issue.record("\(place): a tab") }
            if line.hasSuffix(" ") { Issue.record("\(place): a blank at the end") }
        }
    }

    @Test("no file names a folder of the machine that it was written on")
    func places() {
        let texts = House.swift + House.files("Tests", ["sh", "asm", "inc"]) + ["README.md", "Package.swift", ".ci/run"].map(House.read)
        let folders = ["/work" + "/", "/root" + "/", "/home" + "/[a-z]", "/Users" + "/"].joined(separator: "|")
        for file in texts { for finding in file.findings("(^|[^A-Za-z0-9_.])(\(folders))", comments: true) { Issue.record(Comment(rawValue: finding)) } }
    }
}

@Suite("tidy · registries") struct RegistryTests {
    private func types(_ folder: String, _ protocols: String) -> [String] {
        House.files(folder, ["swift"]).flatMap(\.lines).compactMap { line in
            guard let match = line.firstMatch(of: /^(?:public )?struct (\w+): ([^{]*)/) else { return nil }
            return String(match.2).range(of: "\\b(\(protocols))\\b", options: .regularExpression) != nil ? String(match.1) : nil
        }
    }

    @Test("every chip is in the board's list") func chips() {
        let board = House.read("Sources/Hardware/Board/PC+Chips.swift").lines.joined(separator: "\n")
        let chips = types("Sources/Hardware/Devices", "Device|PCIFunction")
        #expect(chips.count > 15)
        for chip in chips { #expect(board.contains("\(chip)("), "\(chip) is not on the board") }
    }

    @Test("the port bus and the digest know no chip by name", arguments: ["Bus/IOBus.swift", "Board/PC+Bus.swift", "Board/DigestEncoder.swift"])
    func bus(path: String) {
        let chips = types("Sources/Hardware/Devices", "Device|PCIFunction").joined(separator: "|")
        for finding in House.read("Sources/Hardware/" + path).findings("\\b(\(chips))\\(") { Issue.record(Comment(rawValue: finding)) }
    }

    @Test("every verb is a subcommand") func verbs() {
        let root = House.read("Sources/Commands/Vitrine.swift").lines.joined(separator: "\n")
        for verb in types("Sources/Commands", "Verb") where verb != "Vitrine" {
            #expect(root.contains("\(verb).self"), "vitrine has no verb \(verb)")
        }
    }
}
