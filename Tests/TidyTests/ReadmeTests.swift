import Foundation
import Testing

@Suite("tidy · README") struct ReadmeTests {
    let readme = House.read("README.md").lines

    /// The folders of the map: lines of the block behind "## Map", nested by two blanks.
    private var map: [String] {
        let section = readme.drop { $0 != "## Map" }.dropFirst()
        let block = section.drop { $0 != "```" }.dropFirst().prefix { $0 != "```" }
        var result: [String] = [], parent = ""
        for line in block {
            guard let name = line.split(separator: " ").first, name.hasSuffix("/") else { continue }
            let folder = String(name.dropLast())
            if line.hasPrefix(" ") {
                result.append(parent + "/" + folder)
            } else {
                parent = folder
                result.append(folder)
            }
        }
        return result
    }

    @Test("every folder of the map exists") func mapExists() {
        #expect(map.count > 15)
        for folder in map {
            var isFolder: ObjCBool = false
            #expect(FileManager.default.fileExists(atPath: House.root + "/" + folder, isDirectory: &isFolder) && isFolder.boolValue, "README maps \(folder)")
        }
    }

    @Test("every folder is in the map") func mapComplete() {
        var real: [String] = []
        for target in House.folders("Sources") {
            real.append("Sources/" + target)
            real += House.folders("Sources/" + target).map { "Sources/\(target)/\($0)" }
        }
        real += House.folders("Tests").map { "Tests/" + $0 }
        real += House.folders("").filter { $0 != "Sources" }
        let missing = Set(real).subtracting(map)
        #expect(missing.isEmpty, "README's map lacks \(missing.sorted().joined(separator: ", "))")
    }

    @Test("the top level holds what it should, and no more") func top() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: House.root).filter { !$0.hasPrefix(".") && $0 != "Package.resolved" }
        let allowed: Set<String> = ["Package.swift", "README.md", "Sources", "Tests", "Themes", "Keymaps"]
        #expect(Set(names).subtracting(allowed).isEmpty)
    }

    @Test("every script is named in README, can be run, and says in its head what it does")
    func scripts() {
        let text = readme.joined(separator: "\n")
        for file in House.files("Tests", ["sh"]) where file.path.split(separator: "/").count == 2 {
            #expect(text.contains(file.path), "README does not name \(file.path)")
            #expect(FileManager.default.isExecutableFile(atPath: House.root + "/" + file.path), "\(file.path)")
            #expect(file.lines.first == "#!/usr/bin/env bash", "\(file.path)")
            #expect(file.lines.count > 1 && file.lines[1].hasPrefix("# "), "\(file.path)")
        }
    }

    @Test("every test target and every option of run is in README") func complete() {
        let text = readme.joined(separator: "\n")
        for target in House.folders("Tests") where target.hasSuffix("Tests") {
            #expect(text.contains("`\(target)`"), "README's table of suites lacks \(target)")
        }
        for file in House.files("Sources/Commands", ["swift"]) where file.path.hasSuffix("RunOptions.swift") {
            for line in file.lines {
                guard let match = line.firstMatch(of: /^    var ([a-zA-Z]+)(?:: | = )/), !line.contains("{") else { continue }
                let option = match.1.reduce(into: "") { $0 += $1.isUppercase ? "-" + $1.lowercased() : String($1) }
                #expect(text.contains("--" + option), "README does not name --\(option)")
            }
        }
    }

    @Test("every exit status of the contract is in README", arguments: ["0", "1", "2", "3", "4", "64", "66", "124"])
    func exitStatus(number: String) { #expect(readme.contains { $0.hasPrefix("| \(number) |") }) }
}
