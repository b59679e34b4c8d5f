import Foundation
import Primitives

/// Pages of a state file that lie in another one: a REFS section.
///
/// Memory changes little between two snapshots of a machine. What the second one has in common with the first stays in the first one's file,
/// which lives as long as any snapshot needs it. Nobody refers to a file that refers on: a page is looked for in one place.
struct SharedPages: Equatable, Sendable {
    /// The other file's name, in the machine's folder of snapshots.
    var file: String
    /// What the other file calls itself.
    var mark: UInt64
    /// First page and count, in pairs; ascending.
    var ranges: [UInt32]

    /// Other files that one refers to, at most.
    static let mostFiles = 8

    var count: Int { stride(from: 1, to: ranges.count, by: 2).reduce(0) { $0 + Int(ranges[$1]) } }

    init(file: String, mark: UInt64, pages: [Int]) {
        (self.file, self.mark, ranges) = (file, mark, [])
        for page in pages {
            if let first = ranges.dropLast().last, let length = ranges.last, Int(first) + Int(length) == page {
                ranges[ranges.count - 1] = length + 1
            } else {
                ranges += [UInt32(truncatingIfNeeded: page), 1]
            }
        }
    }

    var value: StateValue { .map([.init("file", .text(file)), .init("mark", .unsigned(mark)), .init("pages", .words32(ranges))]) }

    /// nil: a section that nobody writes.
    init?(_ value: StateValue) {
        guard let file = value["file"]?.string, let mark = value["mark"]?.unsigned, case .words32(let ranges)? = value["pages"], ranges.count % 2 == 0,
            SharedPages.isName(file)
        else { return nil }
        var end: UInt64 = 0
        for at in stride(from: 0, to: ranges.count, by: 2) {
            guard ranges[at + 1] > 0, UInt64(ranges[at]) >= end else { return nil }
            end = UInt64(ranges[at]) + UInt64(ranges[at + 1])
        }
        guard end <= UInt64(UInt32.max) else { return nil }
        (self.file, self.mark, self.ranges) = (file, mark, ranges)
    }

    /// Nothing leads out of the folder.
    static func isName(_ file: String) -> Bool {
        file.utf8.count <= 80 && file.hasSuffix(".state") && !file.hasPrefix(".")
            && file.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == ".") }
    }

    /// Where the other file is: beside a snapshot's, or in the folder of snapshots beside a saved state.
    func path(beside path: String) -> String {
        let folder = WholeFile.directory(of: path)
        if folder == SnapshotTree.folderName || folder.hasSuffix("/" + SnapshotTree.folderName) { return folder + "/" + file }
        return folder + "/" + SnapshotTree.folderName + "/" + file
    }

    /// The pages, out of the other file; those that follow each other come together.
    /// - Throws: `.badInput` when it is another file, or has not all of them.
    func read(beside path: String, _ body: (Int, UnsafeRawBufferPointer) -> Bool) throws(MachineError) {
        let reader = try StateReader(self.path(beside: path)), info = try StateInfo.read(reader)
        guard info.mark == mark else { throw reader.damaged("it is not the one that '\(path)' stands on") }
        var left = count
        var at = 0
        while left > 0, let (kind, bytes) = try reader.next() {
            guard kind == "PAGE" else { continue }
            try reader.runs(bytes, wanted: { wants($0, from: &at) }) { first, pages in
                left -= pages.count / StateFormat.pageBytes
                return body(first, pages)
            }
        }
        guard left == 0 else { throw reader.damaged("it has not all pages that '\(path)' needs") }
    }

    /// - Parameter at: where the last one was found; pages come nearly in order.
    private func wants(_ page: Int, from at: inout Int) -> Bool {
        if at >= ranges.count || page < Int(ranges[at]) || page >= Int(ranges[at]) + Int(ranges[at + 1]) {
            var (low, high) = (0, ranges.count / 2)
            while low < high {
                let middle = (low + high) / 2
                if Int(ranges[2 * middle]) + Int(ranges[2 * middle + 1]) <= page { low = middle + 1 } else { high = middle }
            }
            guard 2 * low < ranges.count, page >= Int(ranges[2 * low]) else { return false }
            at = 2 * low
        }
        return true
    }
}

extension StateReader {
    /// The pages of a PAGE section, or those that a REFS section names; those that follow each other come together.
    /// - Returns: false: it is another section.
    func eachRun(_ kind: String, _ bytes: [UInt8], _ body: (Int, UnsafeRawBufferPointer) -> Bool) throws(MachineError) -> Bool {
        switch kind {
        case "PAGE": try runs(bytes, wanted: { _ in true }, body)
        case "REFS": try shared(bytes).read(beside: path, body)
        default: return false
        }
        return true
    }

    /// The same, one by one.
    func eachPage(_ kind: String, _ bytes: [UInt8], _ body: (Int, UnsafeRawBufferPointer) -> Bool) throws(MachineError) -> Bool {
        try eachRun(kind, bytes) { first, pages in
            stride(from: 0, to: pages.count, by: StateFormat.pageBytes).allSatisfy { at in
                body(first + at / StateFormat.pageBytes, UnsafeRawBufferPointer(rebasing: pages[at..<at + StateFormat.pageBytes]))
            }
        }
    }

    func shared(_ bytes: [UInt8]) throws(MachineError) -> SharedPages {
        guard let shared = SharedPages(try parsed("REFS", bytes)) else { throw damaged("section REFS is malformed") }
        return shared
    }
}

extension StateInfo {
    /// Names of the files that a state file stands on, from the machine's folder; none when it cannot be read.
    static func shared(_ path: String) -> [String] {
        ((try? read(path))?.shared ?? []).filter(SharedPages.isName).map { SnapshotTree.folderName + "/" + $0 }
    }
}

/// A state file that stands on nothing, made of one that may stand on others.
enum WholeState {
    /// - Throws: `.badInput` for damaged files, `.failed`; nothing is left then.
    static func write(_ path: String, from old: String, progress: (Int) -> Bool = { _ in true }) throws(MachineError) {
        let reader = try StateReader(old)
        var info = try StateInfo.read(reader)
        info.shared = nil
        let writer = try StateWriter(path)
        do throws(MachineError) {
            guard let head = try? StateEncoder.encode(info) else { throw .failed("The state file '\(path)' cannot be written.") }
            try writer.section("INFO", head)
            while let (kind, bytes) = try reader.next() {
                var failure: MachineError?
                let isPages = try reader.eachPage(kind, bytes) { number, page in
                    do throws(MachineError) { try writer.page(number, page) } catch { failure = error }
                    return failure == nil && progress(4096)
                }
                if let failure { throw failure }
                if !isPages { try writer.section(kind, bytes: bytes) }
            }
            try writer.finish()
        } catch {
            writer.cancel()
            throw error
        }
    }
}

/// What a running machine remembers of the memory in its last snapshot: for every page what it held, and in which file it is.
struct KnownPages: Sendable {
    struct File: Sendable, Equatable {
        /// From the machine's folder.
        var path: String
        var mark: UInt64
        var device: UInt64
        var inode: UInt64
    }
    /// Arena pages beyond which nothing is remembered: 8 GiB, 34 MB of numbers.
    static let mostPages = 2 << 20

    var files: [File] = []
    /// Page by page: 0 not known, else a file's place plus 1.
    var places: [UInt8]
    var hashes: [PageHash]

    init(pages: Int) {
        places = [UInt8](repeating: 0, count: pages)
        hashes = [PageHash](repeating: PageHash(), count: pages)
    }

    /// nil: there is none.
    static func file(_ path: String, in folder: String, mark: UInt64) -> File? {
        var facts = stat()
        guard stat(folder + "/" + path, &facts) == 0 else { return nil }
        return File(path: path, mark: mark, device: UInt64(facts.st_dev), inode: UInt64(facts.st_ino))
    }

    /// Forgets pages whose file is not there any more, or that the tree does not keep.
    mutating func check(_ folder: String, kept: Set<String>) {
        for (index, file) in files.enumerated() where !kept.contains(file.path) || KnownPages.file(file.path, in: folder, mark: file.mark) != file {
            forget(index)
        }
    }

    private mutating func forget(_ index: Int) {
        let place = UInt8(index + 1)
        for page in places.indices where places[page] == place { places[page] = 0 }
    }

    /// Makes room for one more file: those that nothing is in go, and of the others the one with the fewest pages.
    mutating func makeRoom() {
        var counts = [Int](repeating: 0, count: files.count + 1)
        for place in places { counts[Int(place)] += 1 }
        while true {
            let used = files.indices.filter { counts[$0 + 1] > 0 }
            guard used.count >= SharedPages.mostFiles, let least = used.min(by: { counts[$0 + 1] < counts[$1 + 1] }) else { break }
            forget(least)
            counts[least + 1] = 0
        }
        var moved = [UInt8](repeating: 0, count: files.count + 1), left: [File] = []
        for (index, file) in files.enumerated() where counts[index + 1] > 0 {
            left.append(file)
            moved[index + 1] = UInt8(left.count)
        }
        for page in places.indices where places[page] != 0 { places[page] = moved[Int(places[page])] }
        files = left
    }
}
